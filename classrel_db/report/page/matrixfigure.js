// The figure of a matrix: an image, the labels and values that have room, and marks.

const CELL = [40, 15]; // pixels of a cell from which on its value is written in it
const MARGIN = 150; // pixels for the labels of rows; less in a narrow window

class MatrixFigure {
  size() {
    return [this.canvas.clientWidth || 800, this.canvas.clientHeight || 600];
  }

  margin() {
    return Math.round(Math.min(MARGIN, this.size()[0] * 0.24));
  }

  // The frame inside the margins, in pixels.
  inner() {
    const [width, height] = this.size();
    return frameSize(this.figure, [width - this.margin() - 70, height - this.margin()]);
  }

  whole() {
    const n = this.grid.size;
    return this.squared(n / 2, n / 2, n);
  }

  // Ranges about a point in which cells are square, at least so many of them each way.
  squared(x, y, cells) {
    const [width, height] = this.inner();
    const unit = cells / Math.min(width, height);
    const [halfWidth, halfHeight] = [(width * unit) / 2, (height * unit) / 2];
    return [x - halfWidth, x + halfWidth, y + halfHeight, y - halfHeight];
  }

  async draw() {
    const { grid } = this;
    const n = grid.size;
    const margin = this.margin();
    const wheel = new Bokeh.WheelZoomTool({ zoom_on_axis: false });
    const mapper = new Bokeh.LinearColorMapper({
      palette: signedPalette(),
      low: -grid.limit,
      high: grid.limit,
      nan_color: colour("raised"),
    });
    this.figure = null;
    const stored = state.matrixRange;
    const range = stored ?? this.whole();
    const limits = { min_interval: Math.min(4, n), max_interval: 3 * n }; // cells
    const made = makeFigure({
      sizing_mode: "stretch_both",
      tools: [new Bokeh.PanTool(), wheel],
      scroll: wheel,
      min_border_left: margin,
      min_border_top: margin,
      x_range: new Bokeh.Range1d({ start: range[0], end: range[1], ...limits }),
      y_range: new Bokeh.Range1d({
        start: stored ? range[3] : range[2],
        end: stored ? range[2] : range[3],
        ...limits,
      }),
    });
    this.figure = made;
    const { ndarray } = Bokeh.require("core/util/ndarray");
    const image = ndarray(grid.values.buffer, { dtype: "float32", shape: [n, n] });
    made.add_glyph(
      new Bokeh.Image({
        image: { field: "image" },
        x: 0,
        y: 0,
        dw: n,
        dh: n,
        origin: "bottom_left", // the range of rows is turned about: the first is at the top
        color_mapper: mapper,
      }),
      new Bokeh.ColumnDataSource({ data: { image: [image] } }),
    );
    this.sources = {};
    for (const name of ["values", "focus", "cursor"]) {
      this.sources[name] = new Bokeh.ColumnDataSource({ data: {} });
    }
    this.addGlyphs(made);
    this.addAxes(made, mapper);
    made.on_event("mousemove", (event) => this.hover(event));
    made.on_event("mouseleave", hideTip);
    made.on_event("tap", (event) => {
      const [row, column] = this.cellAt(event);
      if (this.isCell(row, column)) this.focusRow(row, column);
    });
    this.markFocus();
    whenChanged(rangesOf(made), () => this.moved());
    whenChanged([made.properties.inner_width, made.properties.inner_height], () => this.resized());
    const view = await place(made, this.canvas);
    if (this.figure === made) this.view = view;
  }

  addGlyphs(made) {
    const [x, y] = [{ field: "x" }, { field: "y" }];
    const box = { x, y, width: { field: "width" }, height: { field: "height" }, fill_color: null };
    made.add_glyph(
      new Bokeh.Rect({ ...box, line_color: colour("accent"), line_width: 1.5 }),
      this.sources.focus,
    );
    made.add_glyph(
      new Bokeh.Rect({ ...box, line_color: colour("text"), line_width: 2.5 }),
      this.sources.cursor,
    );
    made.add_glyph(
      new Bokeh.Text({
        x,
        y,
        text: { field: "text" },
        text_align: "center",
        text_baseline: "middle",
        text_color: { field: "shade" },
        text_font: FONT,
        text_font_size: "11px",
      }),
      this.sources.values,
    );
  }

  addAxes(made, mapper) {
    const style = () => ({
      ...axisStyle(),
      axis_line_color: null,
      major_label_standoff: 2,
      major_tick_in: 0,
      major_tick_out: 3,
      ticker: new Bokeh.FixedTicker({ ticks: [] }),
    });
    this.axes = [
      new Bokeh.LinearAxis({ ...style(), major_label_orientation: Math.PI / 2 }),
      new Bokeh.LinearAxis(style()),
    ];
    made.add_layout(this.axes[0], "above");
    made.add_layout(this.axes[1], "left");
    made.add_layout(
      colourBar(mapper, "cosine"),
      "right",
    );
  }

  moved() {
    if (!this.figure) return;
    this.relabel();
    const whole = this.whole();
    const now = rangeValues(this.figure);
    const isWhole = now.every((value, at) => Math.abs(value - whole[at]) < 1e-3);
    // in the fragment the lower end comes first
    const range = isWhole ? null : [now[0], now[1], now[3], now[2]];
    if (String(range) !== String(state.matrixRange)) update({ matrixRange: range }, { quiet: true });
  }

  resized() {
    if (!this.figure) return;
    if (!state.matrixRange) {
      setRanges(this.figure, this.whole());
    } else {
      const [x0, x1, y0, y1] = state.matrixRange;
      const [width, height] = this.inner();
      const cells = ((x1 - x0) / width) * Math.min(width, height);
      setRanges(this.figure, this.squared((x0 + x1) / 2, (y0 + y1) / 2, cells));
    }
    this.relabel();
  }

  // Labels of the rows and columns in view, as many as have room, and the values of large cells.
  relabel() {
    const { grid, figure: made } = this;
    const [x0, x1, y1, y0] = rangeValues(made);
    const [width, height] = this.inner();
    const sides = [[x0, x1, width], [y0, y1, height]];
    const cells = sides.map(([low, high, pixels]) => pixels / (high - low));
    const within = (at) => clamp(at, 0, grid.size);
    const spans = sides.map(([low, high]) => [within(Math.floor(low)), within(Math.ceil(high))]);
    const inside = sides.map(([low, high]) => [within(Math.ceil(low)), within(Math.floor(high))]);
    const focused = this.model.place(state.focus);
    const own = focused === undefined ? -1 : grid.rowOf(focused);
    this.axes.forEach((axis, side) => {
      const step = Math.max(1, Math.ceil(LINE / cells[side]));
      const [from, to] = spans[side];
      const rows = [];
      for (let row = Math.ceil(from / step) * step; row < to; row += step) {
        const middle = sides[side][0] <= row + 0.5 && row + 0.5 <= sides[side][1];
        if (middle && (row === own || Math.abs(row - own) >= step)) rows.push(row);
      }
      if (own >= from && own < to && !rows.includes(own)) rows.push(own);
      const text = (row) => (row === own ? `▸ ${grid.label(row, focused)}` : grid.label(row));
      axis.ticker.ticks = rows.map((row) => row + 0.5);
      axis.major_label_overrides = new Map(
        rows.map((row) => [row + 0.5, new Bokeh.PlainText({ text: fitted(text(row), this.margin() - 14) })]),
      );
    });
    this.sources.values.data = this.valuesInCells(cells, inside);
  }

  valuesInCells(cells, [columns, rows]) {
    const found = { x: [], y: [], text: [], shade: [] };
    if (cells[0] < CELL[0] || cells[1] < CELL[1]) return found;
    for (let row = rows[0]; row < rows[1]; row += 1) {
      for (let column = columns[0]; column < columns[1]; column += 1) {
        const value = this.grid.value(row, column);
        if (Number.isNaN(value)) continue;
        found.x.push(column + 0.5);
        found.y.push(row + 0.5);
        found.text.push(fixed(value, 4));
        found.shade.push(inkOn(Math.abs(value) / this.grid.limit));
      }
    }
    return found;
  }

  markFocus() {
    const focused = this.model.place(state.focus);
    const n = this.grid.size;
    if (focused === undefined) {
      this.sources.focus.data = { x: [], y: [], width: [], height: [] };
      return;
    }
    const middle = this.grid.rowOf(focused) + 0.5;
    this.sources.focus.data = { x: [n / 2, middle], y: [middle, n / 2], width: [n, 1], height: [1, n] };
  }

  markCursor(cell) {
    if (!this.sources) return;
    const some = cell ? [cell] : [];
    this.sources.cursor.data = {
      x: some.map(([, column]) => column + 0.5),
      y: some.map(([row]) => row + 0.5),
      width: some.map(() => 1),
      height: some.map(() => 1),
    };
  }

  start() {
    const focused = this.model.place(state.focus);
    const row = focused === undefined ? 0 : this.grid.rowOf(focused);
    return [row, row];
  }

  // About the cursor, where there is one in view.
  zoom(factor) {
    const [x0, x1, y1, y0] = rangeValues(this.figure);
    const [row, column] = this.cursor ?? [(y0 + y1) / 2, (x0 + x1) / 2];
    const [width, height] = this.inner();
    const cells = ((x1 - x0) / width) * Math.min(width, height) * factor;
    setRanges(this.figure, this.squared(column + 0.5, row + 0.5, cells));
  }

  // The focused class in the middle, in cells that hold their values.
  centre() {
    const [row] = this.start();
    const [width, height] = this.inner();
    const cells = Math.min(this.grid.size, Math.min(width, height) / (CELL[0] + 4));
    glide(this.figure, this.squared(row + 0.5, row + 0.5, cells));
  }
}
