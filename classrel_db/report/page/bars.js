// Bars of cosines by BokehJS: one canvas beside the rows of a table, or with its labels, for a file.

const ROW = 28; // pixels, as in the style sheet
const SUPPORT_LEVELS = [
  ["high", "95 % or more", (share) => share >= 0.95],
  ["middle", "50 to 95 %", (share) => share >= 0.5],
  ["low", "below 50 %", () => true],
];

function supportColour(share) {
  const colours = SUPPORT_COLOURS[themeName()];
  if (share === null) return colours.unknown;
  return colours[SUPPORT_LEVELS.find(([, , holds]) => holds(share))[0]];
}

function barRange(lists) {
  const cosines = lists.flatMap((list) => list.map((each) => each.cosine));
  return [Math.min(0, ...cosines), Math.max(0.01, ...cosines) * 1.04];
}

// A figure with one bar a neighbour, the first on top, ROW pixels each.
function barFigure(neighbors, [low, high], width, options = {}) {
  const made = makeFigure({
    frame_width: Math.max(20, Math.floor(width)),
    frame_height: ROW * neighbors.length,
    x_range: new Bokeh.Range1d({ start: low, end: high }),
    y_range: new Bokeh.Range1d({ start: neighbors.length + 0.5, end: 0.5 }),
    ...options,
  });
  const desired = Math.max(1, Math.min(5, Math.floor(width / 45)));
  made.add_layout(
    new Bokeh.LinearAxis({
      ...axisStyle(),
      ticker: new Bokeh.BasicTicker({ desired_num_ticks: desired }),
      axis_label: "cosine",
    }),
    "below",
  );
  const data = {
    rank: neighbors.map((each) => each.rank),
    cosine: neighbors.map((each) => each.cosine),
    shade: neighbors.map((each) => supportColour(each.support)),
  };
  made.add_glyph(
    new Bokeh.HBar({
      y: { field: "rank" },
      left: 0,
      right: { field: "cosine" },
      height: 0.62,
      fill_color: { field: "shade" },
      line_color: null,
    }),
    new Bokeh.ColumnDataSource({ data }),
  );
  if (low < 0) {
    made.add_layout(new Bokeh.Span({ location: 0, dimension: "height", line_color: colour("line") }));
  }
  return made;
}

// The same with its labels and numbers, for a file.
function labelledBars(model, neighbors, [low, high], title) {
  const reach = high - low;
  const made = barFigure(neighbors, [low - reach, high + reach * 0.4], 440, { min_border: 10 });
  const write = (x, text, align, offset) =>
    made.add_glyph(
      new Bokeh.Text({
        x: { field: "x" },
        y: { field: "y" },
        text: { field: "text" },
        text_align: align,
        x_offset: offset,
        text_baseline: "middle",
        text_color: colour("text"),
        text_font: FONT,
        text_font_size: "12px",
      }),
      new Bokeh.ColumnDataSource({ data: { x, y: neighbors.map((each) => each.rank), text } }),
    );
  const labels = neighbors.map((each) => fitted(model.label(each.index), 180, 12));
  const numbers = neighbors.map(({ cosine, support }) =>
    support === null ? fixed(cosine, 4) : `${fixed(cosine, 4)}  ${percent(support)}`,
  );
  write(neighbors.map(() => low), labels, "right", -8);
  write(neighbors.map((each) => Math.max(0, each.cosine)), numbers, "left", 6);
  made.add_layout(
    new Bokeh.Title({
      text: new Bokeh.PlainText({ text: title }),
      text_color: colour("text"),
      text_font: FONT,
    }),
    "above",
  );
  return made;
}
