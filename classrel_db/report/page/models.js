// The view of models: how far every two agree, and the classes on which two of them don't.

class ModelsView {
  constructor(holder) {
    this.holder = holder;
    this.watching = new ResizeObserver(() => this.fit());
  }

  show() {
    this.watching.disconnect();
    const title = element("div", { class: "bar" }, element("h2", {}, "Models"), this.controls());
    const notes = manifest.notes.map((text) => element("p", { class: "note" }, visible(text)));
    if (models.length < 2) {
      const text = `The page has one model, ${models[0].title}: there is none to compare it with.`;
      this.holder.replaceChildren(title, element("p", {}, text));
      return;
    }
    this.canvas = element("div", { class: "agreement", "aria-hidden": "true" });
    this.canvas.style.width = `${Math.min(200 + models.length * 90, 900)}px`;
    const measure = manifest.measures[state.measure];
    this.holder.replaceChildren(
      title,
      measure ? element("p", { class: "legend" }, `${measure.title}. ${measure.reading}.`) : "",
      ...notes,
      element("div", { class: "agreeing" }, this.canvas, element("div", { class: "scrolled" }, this.table())),
      this.disagreement(),
    );
    this.width = 0;
    this.watching.observe(this.canvas);
  }

  controls() {
    const names = Object.keys(manifest.measures);
    const choice = element(
      "select",
      { id: "measure", onchange: (event) => update({ measure: event.target.value }) },
      names.map((name) => element("option", { value: name, selected: name === state.measure }, name)),
    );
    return element(
      "div",
      { class: "controls" },
      names.length ? element("label", {}, "Measure ", choice) : null,
      downloadButtons(() => ["agreement", state.measure], () => this.rows(), () => this.drawing()),
    );
  }

  comparisons() {
    const { measure, k } = manifest.measures[state.measure] ?? {};
    return manifest.comparisons.filter((each) => each.measure === measure && each.k === k);
  }

  between(a, b) {
    return this.comparisons().find(
      (each) => (each.model_a === a && each.model_b === b) || (each.model_a === b && each.model_b === a),
    );
  }

  choose(a, b) {
    update({ pair: [a, b] });
    announce(`${visible(a)} and ${visible(b)}`);
  }

  table() {
    const rows = this.comparisons().map((each) => {
      const interval = each.low === null ? "–" : `${fixed(each.low, 4)} to ${fixed(each.high, 4)}`;
      const chosen = state.pair.includes(each.model_a) && state.pair.includes(each.model_b);
      return element(
        "tr",
        { class: chosen ? "pointed" : null },
        element(
          "td",
          { class: "name" },
          element(
            "button",
            {
              type: "button",
              class: "class",
              "aria-pressed": String(chosen),
              onclick: () => this.choose(each.model_a, each.model_b),
            },
            `${shortened(visible(each.model_a), 40)} – ${shortened(visible(each.model_b), 40)}`,
          ),
        ),
        element("td", { class: "number" }, fixed(each.estimate, 4)),
        element("td", { class: "number" }, interval),
        element("td", { class: "number" }, each.p_value === null ? "–" : fixed(each.p_value, 3)),
        element("td", { class: "number" }, fixed(each.null_value, 4)),
        element("td", { class: "number" }, counted(each.n)),
      );
    });
    const heading = (text, about) => element("th", { scope: "col", title: about }, text);
    return element(
      "table",
      { class: "plain" },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          heading("models", ""),
          heading("estimate", state.measure),
          heading("95 % interval", "bootstrap over classes; by `classrel compare --all --resamples 1000`"),
          heading("p", "one-sided, of permutations; computed by `classrel compare --all --permutations 999`"),
          heading("null", "what heads with nothing in common would give"),
          heading("classes", "that both models have"),
        ),
      ),
      element("tbody", {}, rows),
      this.comparisons().some((each) => each.low !== null || each.p_value !== null)
        ? null
        : element(
            "caption",
            {},
            "Intervals and p: run `classrel compare --all --permutations 999 --resamples 1000`, and report again.",
          ),
    );
  }

  matrix(size) {
    const names = models.map((model) => model.name);
    const n = names.length;
    const cells = { x: [], y: [], estimate: [], text: [], ink: [] };
    const most = Math.max(...(manifest.measures[state.measure]?.bounds ?? [1]).map(Math.abs));
    const mapper = new Bokeh.LinearColorMapper({
      palette: signedPalette(),
      low: -most,
      high: most,
      nan_color: colour("raised"),
    });
    names.forEach((a, row) =>
      names.forEach((b, column) => {
        const estimate = a === b ? null : (this.between(a, b)?.estimate ?? null);
        cells.x.push(column + 0.5);
        cells.y.push(row + 0.5);
        cells.estimate.push(estimate ?? NaN);
        cells.text.push(a === b ? "" : fixed(estimate, 2));
        cells.ink.push(inkOn(Math.abs(estimate ?? 0) / most));
      }),
    );
    const margin = Math.min(150, size * 0.34);
    const made = makeFigure({
      width: Math.round(size),
      height: Math.round(size - 60), // the colour bar
      x_range: new Bokeh.Range1d({ start: 0, end: n }),
      y_range: new Bokeh.Range1d({ start: n, end: 0 }),
      min_border_left: margin,
      min_border_top: margin,
    });
    const source = new Bokeh.ColumnDataSource({ data: cells });
    const [x, y] = [{ field: "x" }, { field: "y" }];
    made.add_glyph(
      new Bokeh.Rect({
        x,
        y,
        width: 1,
        height: 1,
        fill_color: { field: "estimate", transform: mapper },
        line_color: colour("page"),
        line_width: 2,
      }),
      source,
    );
    if ((size - margin - 60) / n > 30) {
      made.add_glyph(
        new Bokeh.Text({
          x,
          y,
          text: { field: "text" },
          text_align: "center",
          text_baseline: "middle",
          text_color: { field: "ink" },
          text_font: FONT,
          text_font_size: "12px",
        }),
        source,
      );
    }
    const ticks = names.map((_, at) => at + 0.5);
    const written = models.map((model, at) => [
      ticks[at],
      new Bokeh.PlainText({ text: fitted(model.title, margin - 14) }),
    ]);
    const style = {
      ...axisStyle(),
      axis_line_color: null,
      major_tick_line_color: null,
      major_tick_out: 0,
      ticker: new Bokeh.FixedTicker({ ticks }),
      major_label_overrides: new Map(written),
    };
    made.add_layout(new Bokeh.LinearAxis({ ...style, major_label_orientation: Math.PI / 2 }), "above");
    made.add_layout(new Bokeh.LinearAxis(style), "left");
    made.add_layout(colourBar(mapper, state.measure), "right");
    return made;
  }

  fit() {
    const width = this.canvas.clientWidth;
    if (Math.abs(width - this.width) < 2) return;
    this.width = width;
    this.draw(width);
  }

  async draw(width) {
    const made = this.matrix(width);
    const at = (event) => [models[Math.floor(event.y)]?.name, models[Math.floor(event.x)]?.name];
    made.on_event("tap", (event) => {
      const [a, b] = at(event);
      if (a && b && a !== b) this.choose(a, b);
    });
    made.on_event("mousemove", (event) => {
      const [a, b] = at(event);
      const found = a && b && a !== b ? this.between(a, b) : null;
      if (!found) return hideTip();
      const lines = [`${fixed(found.estimate, 4)}`, shortened(visible(a), 60), shortened(visible(b), 60)];
      return showTip(lines, ...pointerAt(this.canvas, event));
    });
    made.on_event("mouseleave", hideTip);
    await place(made, this.canvas);
  }

  drawing() {
    return drawnAside(this.matrix(Math.max(300, this.width)));
  }

  chosen() {
    const [a, b] = state.pair;
    return manifest.disagreements.find(({ models: two }) => two.includes(a) && two.includes(b) && a !== b);
  }

  disagreement() {
    const made = element("section", { class: "disagreement" });
    if (state.pair.length < 2) {
      if (manifest.disagreements.length) {
        const text = "Choose two models, in the table or the matrix, for the classes on which they disagree.";
        made.append(element("p", {}, text));
      }
      return made;
    }
    const [a, b] = state.pair;
    const found = this.chosen();
    const [one, other] = [a, b].map((name) => shortened(visible(name), 60));
    made.append(element("h3", {}, `Where ${one} and ${other} disagree`));
    if (!found) {
      made.append(element("p", {}, "The page does not hold the classes that these two disagree on."));
      return made;
    }
    made.append(csvButton("CSV of these classes", () => ["disagreement", a, b], () => this.disagreeing(found)));
    const listed = (labels) => labels.map((label) => shortened(visible(label), 60)).join(", ") || "–";
    const rows = found.classes.map((each) =>
      element(
        "tr",
        {},
        element(
          "td",
          { class: "name" },
          element(
            "button",
            {
              type: "button",
              class: "class",
              dir: "auto",
              onclick: () => this.beside(found, each),
            },
            shortened(visible(each.class), 200),
          ),
        ),
        element("td", { class: "number" }, fixed(each.correlation, 4)),
        element("td", { class: "number" }, fixed(each.jaccard, 2)),
        element("td", { class: "listed" }, listed(each.lost)),
        element("td", { class: "listed" }, listed(each.gained)),
      ),
    );
    const [first, second] = found.models.map((name) => shortened(visible(name), 40));
    const heading = (text, about) => element("th", { scope: "col", title: about }, text);
    made.append(
      element(
        "p",
        { class: "legend" },
        `Of the ${counted(found.n)} classes that both have the ${found.classes.length} whose cosines ` +
          "with all others are ordered least alike. A class leads to its neighbours in both models.",
      ),
      element(
        "table",
        { class: "plain" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            heading("class", ""),
            heading("correlation", "Spearman, of the cosines of the class with all others in both models"),
            heading("Jaccard", "the share of the ten nearest that both models have"),
            heading(`near in ${first} only`, ""),
            heading(`near in ${second} only`, ""),
          ),
        ),
        element("tbody", {}, rows),
      ),
    );
    return made;
  }

  beside(found, each) {
    const key = spaces.flatMap((space) => {
      const at = space.concepts.indexOf(each.concept);
      return at < 0 ? [] : [space.keys[at]];
    })[0];
    focusOn(key, { tab: "neighbors", shown: found.models });
  }

  changed(before) {
    const same = (...names) => names.every((name) => String(state[name]) === String(before[name]));
    if (!same("measure", "pair")) {
      const { scrollY } = window;
      const pressed = document.activeElement?.closest("table.plain tr")?.rowIndex;
      this.show();
      if (pressed) this.holder.querySelectorAll("table.plain tr")[pressed]?.querySelector("button")?.focus();
      window.scrollTo(0, scrollY);
    }
  }

  rows() {
    const heading = [
      "model_a", "model_b", "measure", "k", "n", "estimate", "low", "high", "p_value", "null_value", "permutations",
      "resamples", "seed",
    ];
    const rows = this.comparisons().map((each) =>
      heading.map((name) => (name.startsWith("model") ? visible(each[name]) : each[name])),
    );
    return [heading, ...rows];
  }

  disagreeing(found) {
    const listed = ["class", "concept", "correlation", "jaccard", "lost", "gained"];
    const classRows = found.classes.map((each) =>
      listed.map((name) =>
        Array.isArray(each[name]) ? each[name].map(visible).join("; ") : visible(each[name] ?? ""),
      ),
    );
    return [listed, ...classRows];
  }
}
