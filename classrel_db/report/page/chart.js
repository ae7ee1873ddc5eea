// BokehJS figures, made the same way everywhere: our colours, no logo, and no text that Bokeh would read
// as mathematics or a browser as markup.

const FONT = "system-ui, sans-serif";

function makeFigure({ tools = [], scroll = null, ...options }) {
  const made = Bokeh.Plotting.figure({
    tools,
    toolbar_location: null,
    background_fill_color: null,
    border_fill_color: null,
    outline_line_color: null,
    min_border: 0,
    x_axis_type: null,
    y_axis_type: null,
    ...options,
  });
  if (scroll) made.toolbar.active_scroll = scroll;
  return made;
}

function axisStyle() {
  return {
    axis_line_color: colour("line"),
    major_tick_line_color: colour("line"),
    minor_tick_line_color: null,
    major_label_text_color: colour("soft"),
    major_label_text_font: FONT,
    major_label_text_font_size: "11px",
    axis_label_text_color: colour("soft"),
    axis_label_text_font: FONT,
    axis_label_text_font_size: "12px",
    axis_label_text_font_style: "normal",
  };
}

function colourBar(mapper, title) {
  return new Bokeh.ColorBar({
    color_mapper: mapper,
    title,
    width: 12,
    padding: 4,
    background_fill_color: null,
    major_label_text_color: colour("soft"),
    major_label_text_font: FONT,
    title_text_color: colour("soft"),
    title_text_font: FONT,
    title_text_font_style: "normal",
    ticker: new Bokeh.BasicTicker({ desired_num_ticks: 5 }),
  });
}

// Put a figure into an element, in place of what is there.
async function place(made, holder) {
  holder.shownView?.remove();
  holder.replaceChildren();
  const view = await Bokeh.Plotting.show(made, holder);
  holder.shownView = view;
  return view;
}

// Call `work` once a frame at most, whenever one of these properties has changed.
function whenChanged(properties, work) {
  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
  for (const property of properties) property.change.connect(later);
  return later;
}

function rangesOf(made) {
  const { x_range: x, y_range: y } = made;
  return [x.properties.start, x.properties.end, y.properties.start, y.properties.end];
}

function rangeValues(made) {
  const { x_range: x, y_range: y } = made;
  return [x.start, x.end, y.start, y.end];
}

function setRanges(made, [x0, x1, y0, y1]) {
  made.x_range.setv({ start: x0, end: x1 });
  made.y_range.setv({ start: y0, end: y1 });
}

// The size of the frame in pixels, or what is expected of it before it is laid out.
function frameSize(made, expected) {
  if (!made || made.properties.inner_width.is_unset || made.inner_width <= 1) return expected;
  return [made.inner_width, made.inner_height];
}

// Move the ranges there; at once where motion is not wanted.
function glide(made, target, milliseconds = 350) {
  made.gliding = (made.gliding ?? 0) + 1;
  const turn = made.gliding;
  const from = rangeValues(made);
  if (still.matches) {
    setRanges(made, target);
    return;
  }
  const began = performance.now();
  const step = (now) => {
    if (made.gliding !== turn) return;
    const share = clamp((now - began) / milliseconds, 0, 1);
    const eased = share * share * (3 - 2 * share);
    setRanges(made, from.map((value, at) => value + (target[at] - value) * eased));
    if (share < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// Where a pointer event of Bokeh's is in the window.
function pointerAt(holder, event) {
  const box = holder.getBoundingClientRect();
  return [box.left + event.sx, box.top + event.sy];
}

const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();

// The width of a text in pixels, in the font of the charts.
function textWidth(text, size = 11) {
  const key = `${size} ${text}`;
  if (!widths.has(key)) {
    if (widths.size > 50000) widths.clear();
    pen.font = `${size}px ${FONT}`;
    widths.set(key, pen.measureText(text).width);
  }
  return widths.get(key);
}

// A text cut to a width in pixels.
function fitted(text, width, size = 11) {
  let cut = shortened(text, 120);
  while (cut.length > 2 && textWidth(cut, size) > width) {
    const share = width / textWidth(cut, size);
    cut = shortened(text, Math.max(2, Math.min(cut.length - 1, Math.ceil(cut.length * share))));
  }
  return cut;
}

// The figure as SVG text; what is written in it stays text.
async function svgOf(view) {
  const layer = view.export("svg", true);
  return (await layer.to_blob()).text();
}
