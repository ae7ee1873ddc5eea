// The figure of a tree: its branches, clusters and labels, and what of it is in the frame.

const READABLE = 14; // pixels between classes when one is brought into view
const MOST_LABELS = 1000; // that are measured for the room that they take

class TreeFigure {
  size() {
    return [this.canvas.clientWidth || 800, this.canvas.clientHeight || 600];
  }

  // The size of the frame, without the axis.
  inner() {
    return frameSize(this.figure, this.size());
  }

  whole() {
    return this.projection.whole(...this.inner(), this.arrangement.slots.length, this.longest);
  }

  // Everything that depends on which clades are open, the layout and the number of clusters.
  arrange() {
    const { clades } = this;
    this.projection = state.layout === "circular" ? new Circular() : new Rectangular();
    this.arrangement = new Arrangement(clades, clades.closed(state.toggled));
    this.clusters = clades.cut(state.clusters);
    this.clusterOf = clusterOfNodes(clades, this.clusters);
    const shadeOf = (node) => {
      const cluster = this.clusterOf[node];
      return cluster < 0 ? colour("branch") : clusterColour(cluster, this.clusters.length);
    };
    const { arrangement, projection } = this;
    this.sources.branches.data = branchColumns(arrangement, projection, shadeOf);
    this.sources.wedges.data = wedgeColumns(arrangement, projection, shadeOf);
    const { slots } = arrangement;
    const measured = slots.length > MOST_LABELS ? [] : slots;
    const drawn = measured.map(({ node }) => nodeLabel(clades, node, LABEL_WIDTH));
    this.longest = Math.max(0, ...drawn.map((text) => textWidth(text))) || LABEL_WIDTH;
    this.nodes = arrangement.nodes();
    this.points = this.nodes.map((node) =>
      projection.point(arrangement.at[node], arrangement.radius(node)),
    );
    this.markFocus();
    this.listClusters();
  }

  async draw() {
    const sources = {};
    for (const name of ["branches", "wedges", "ring", "path", "dots", "cursor", "leaders"]) {
      sources[name] = new Bokeh.ColumnDataSource({ data: {} });
    }
    sources.labels = new Bokeh.ColumnDataSource({ data: emptyText() });
    sources.names = new Bokeh.ColumnDataSource({ data: emptyText() });
    this.sources = sources;
    const dimensions = state.layout === "circular" ? "both" : "height";
    const wheel = new Bokeh.WheelZoomTool({ dimensions, zoom_on_axis: false });
    const pan = new Bokeh.PanTool({ dimensions });
    this.arrange();
    const range = state.treeRange
      ? this.projection.adapted(state.treeRange, ...this.inner())
      : this.whole();
    // from some classes to three times the whole: nearer there is nothing, and farther neither
    const [left, right, low, high] = this.whole();
    const nearest = 1 / Math.max(4, this.model.size / 8);
    const limits = (start, end) => ({
      min_interval: Math.abs(end - start) * nearest,
      max_interval: Math.abs(end - start) * 3,
    });
    const made = makeFigure({
      sizing_mode: "stretch_both",
      tools: [pan, wheel],
      scroll: wheel,
      lod_threshold: null,
      x_range: new Bokeh.Range1d({ start: range[0], end: range[1], ...limits(left, right) }),
      y_range: new Bokeh.Range1d({ start: range[2], end: range[3], ...limits(low, high) }),
    });
    this.figure = made;
    this.addGlyphs(made, sources);
    if (this.projection.straight) this.addHeightAxis(made);
    this.addEvents(made);
    this.relabel();
    const later = whenChanged(rangesOf(made), () => this.moved());
    whenChanged([made.properties.inner_width, made.properties.inner_height], () => this.resized());
    const view = await place(made, this.canvas);
    if (this.figure === made) this.view = view;
    later();
  }

  addGlyphs(made, sources) {
    const shade = { field: "shade" };
    const [xs, ys] = [{ field: "xs" }, { field: "ys" }];
    made.add_glyph(
      new Bokeh.Patches({ xs, ys, fill_color: shade, fill_alpha: 0.35, line_color: shade }),
      sources.wedges,
    );
    made.add_glyph(new Bokeh.MultiLine({ xs, ys, line_color: shade, line_width: 1.1 }), sources.branches);
    made.add_glyph(
      new Bokeh.MultiLine({ xs, ys, line_color: colour("accent"), line_width: 2.5 }),
      sources.path,
    );
    made.add_glyph(new Bokeh.Patches({ xs, ys, fill_color: shade, line_color: null }), sources.ring);
    made.add_glyph(
      new Bokeh.MultiLine({ xs, ys, line_color: colour("line"), line_width: 1 }),
      sources.leaders,
    );
    const [x, y] = [{ field: "x" }, { field: "y" }];
    made.add_glyph(
      new Bokeh.Scatter({
        x,
        y,
        marker: "circle",
        size: 5,
        fill_color: colour("page"),
        line_color: colour("soft"),
      }),
      sources.dots,
    );
    made.add_glyph(
      new Bokeh.Scatter({
        x,
        y,
        marker: "circle",
        size: { field: "size" },
        fill_color: { field: "fill" },
        line_color: colour("accent"),
        line_width: 2.5,
      }),
      sources.cursor,
    );
    for (const [name, size] of [["labels", "11px"], ["names", "12px"]]) {
      made.add_glyph(
        new Bokeh.Text({
          x,
          y,
          text: { field: "text" },
          angle: { field: "angle" },
          text_align: { field: "align" },
          text_baseline: "middle",
          text_color: shade,
          text_font: FONT,
          text_font_size: size,
          text_font_style: { field: "weight" },
        }),
        sources[name],
      );
    }
  }

  addHeightAxis(made) {
    const top = this.clades.top;
    const step = niceStep(top / (this.size()[0] > 700 ? 6 : 3));
    const heights = Array.from({ length: Math.floor(top / step) + 1 }, (_, at) => at * step);
    const ticks = heights.map((height) => 1 - height / top);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    made.add_layout(
      new Bokeh.LinearAxis({
        ...axisStyle(),
        bounds: [0, 1],
        ticker: new Bokeh.FixedTicker({ ticks, minor_ticks: [] }),
        major_label_overrides: new Map(ticks.map((tick, at) => [tick, heights[at].toFixed(digits)])),
        axis_label: `height at which clades are joined (${manifest.method}, ${manifest.distance} distance)`,
      }),
      "below",
    );
  }

  frame() {
    return new Frame(rangeValues(this.figure), ...this.inner());
  }

  moved() {
    if (!this.figure) return;
    this.relabel();
    const whole = this.whole();
    const now = rangeValues(this.figure);
    const isWhole = now.every((value, at) => Math.abs(value - whole[at]) < 1e-6);
    const range = isWhole ? null : now;
    if (String(range) !== String(state.treeRange)) update({ treeRange: range }, { quiet: true });
  }

  resized() {
    if (!this.figure) return;
    const range = state.treeRange
      ? this.projection.adapted(rangeValues(this.figure), ...this.inner())
      : this.whole();
    setRanges(this.figure, range);
    this.relabel();
  }

  relabel() {
    const frame = this.frame();
    this.projection.setScale(frame.scaleX);
    this.sources.ring.data = ringColumns(this.arrangement, this.projection, this.clusters);
    const focused = this.model.place(state.focus);
    const shownFor = focused === undefined ? undefined : this.arrangement.shownFor(focused);
    const spacing = this.projection.spacing(1 / this.arrangement.slots.length, frame.scaleX, frame.scaleY);
    const labelled = spacing >= LEAST_SPACING;
    const labels = labelled ? leafLabels(this.arrangement, this.projection, frame, shownFor) : emptyText();
    const names = clusterNames(this.arrangement, this.projection, frame, this.clusters, labels, shownFor);
    this.sources.labels.data = labels;
    this.sources.names.data = names.columns;
    this.sources.leaders.data = names.leaders;
    const marked = this.nodes
      .map((node, at) => [node, this.points[at]])
      .filter(([node]) => !this.clades.isLeaf(node))
      .filter(([node]) => spacing > 5 || this.clusters.some((cluster) => cluster.node === node))
      .filter(([, point]) => frame.holds(frame.pixels(point), 5));
    this.sources.dots.data = { x: marked.map(([, [x]]) => x), y: marked.map(([, [, y]]) => y) };
  }

  markFocus() {
    const focused = this.model.place(state.focus);
    if (focused === undefined) {
      this.sources.path.data = { xs: [], ys: [] };
      return;
    }
    const shown = this.arrangement.shownFor(focused);
    this.sources.path.data = pathColumns(this.arrangement, this.projection, shown);
  }

  markCursor(node) {
    if (!this.sources) return;
    const shown = node === null ? [] : [this.arrangement.shownFor(node)];
    const points = shown.map((each) =>
      this.projection.point(this.arrangement.at[each], this.arrangement.radius(each)),
    );
    this.sources.cursor.data = {
      x: points.map(([x]) => x),
      y: points.map(([, y]) => y),
      size: points.map(() => 12),
      fill: points.map(() => colour("page")),
    };
  }

  zoom(factor) {
    const [x0, x1, y0, y1] = rangeValues(this.figure);
    const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
    const across = this.projection.straight ? 1 : factor;
    setRanges(this.figure, [
      x + (x0 - x) * across,
      x + (x1 - x) * across,
      y + (y0 - y) * factor,
      y + (y1 - y) * factor,
    ]);
  }

  moveTo(range) {
    glide(this.figure, range);
  }

  // Bring the focused class into the middle, near enough to read what is beside it.
  centre() {
    const focused = this.model.place(state.focus);
    if (focused === undefined) return;
    this.centreOn(this.arrangement.shownFor(focused));
  }

  centreOn(node) {
    const frame = this.frame();
    const at = this.arrangement.at[node];
    const now = this.projection.straight ? frame.scaleY : frame.scaleX;
    const share = 1 / this.arrangement.slots.length;
    const perUnit = this.projection.straight ? share : share * (2 * Math.PI - GAP);
    const pixels = Math.max(now, READABLE / perUnit);
    this.moveTo(this.projection.around(at, frame.width, frame.height, pixels));
  }
}

// 1, 2 or 5 times a power of ten, not below a value.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= least * (1 - 1e-9));
}
