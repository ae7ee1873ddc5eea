// The view of neighbours: those of one class, side by side in the chosen models.

class NeighborsView {
  constructor(holder) {
    this.holder = holder;
    this.watching = new ResizeObserver(() => this.fit());
    this.cards = [];
  }

  show() {
    const chosen = state.shown.map((name) => modelNamed.get(name));
    const focal = classes.get(state.focus);
    this.cards = chosen.map((model) => this.card(model));
    const known = this.cards.filter((card) => card.neighbors);
    this.range = barRange(known.map((card) => card.neighbors));
    this.markShared(known);
    const title = element("h2", { dir: "auto" }, shortened(focal.label, 500));
    if (focal.id) title.append(" ", element("small", {}, shortened(focal.id, 60)));
    this.watching.disconnect();
    this.holder.replaceChildren(
      element("div", { class: "bar" }, title, this.controls()),
      this.legend(),
      element("div", { class: "cards" }, this.cards.map((card) => card.element)),
    );
    this.cards.forEach((card) => this.watching.observe(card.element));
  }

  controls() {
    const count = element("input", {
      type: "number",
      id: "count",
      min: 1,
      max: Math.max(...models.map((model) => model.nearest)),
      value: state.k,
      onchange: (event) => {
        const wanted = clamp(Math.round(Number(event.target.value) || START.k), 1, 100);
        update({ k: wanted });
        document.getElementById("count").focus();
      },
    });
    const toggles = models.map((model) =>
      element(
        "label",
        { class: "choice" },
        element("input", {
          type: "checkbox",
          name: "shown",
          value: model.name,
          checked: state.shown.includes(model.name),
          onchange: (event) => this.toggle(model, event.target),
        }),
        shortened(model.title, 40),
      ),
    );
    return element(
      "div",
      { class: "controls" },
      models.length > 1
        ? element("fieldset", { class: "choices" }, element("legend", {}, "Models"), toggles)
        : null,
      element("label", { for: "count" }, "nearest "),
      count,
      downloadButtons(() => [labelOf(state.focus), "neighbours"], () => this.rows(), () => this.drawing()),
    );
  }

  toggle(model, box) {
    const kept = models.filter((each) =>
      each === model ? box.checked : state.shown.includes(each.name),
    );
    if (!kept.length) {
      box.checked = true; // one stays
      return;
    }
    update({ shown: kept.map((each) => each.name) });
    this.holder.querySelector(`input[value=${CSS.escape(model.name)}]`)?.focus();
  }

  legend() {
    const supported = models.some((model) => model.supported);
    if (!supported) return element("p", { class: "legend" }, "Support was left out of this report.");
    const key = SUPPORT_LEVELS.map(([name, text]) =>
      element("span", { class: "key" }, swatch(SUPPORT_COLOURS[themeName()][name]), text),
    );
    if (state.k > manifest.k) {
      key.push(
        element("span", { class: "key" }, swatch(SUPPORT_COLOURS[themeName()].unknown), "not computed"),
      );
    }
    return element(
      "p",
      { class: "legend" },
      `Support, of ${plural(manifest.resamples, "resample", "resamples")} of the dimensions the share in ` +
        `which the neighbour stays among the ${manifest.k} nearest: `,
      key,
    );
  }

  card(model) {
    const index = model.place(state.focus);
    const head = element("h3", { title: model.title }, shortened(model.title, 60));
    const made = element("section", { class: "card", "aria-label": model.title }, head);
    if (index === undefined) {
      made.append(element("p", {}, "This model has no such class."));
      return { model, element: made };
    }
    const neighbors = model.neighbors(index, state.k);
    if (neighbors.length < state.k) {
      const why = model.size <= 100 ? "other classes that there are" : "that are stored";
      head.append(element("small", {}, ` the ${neighbors.length} ${why}`));
    }
    const rows = neighbors.map((each) => this.row(model, each));
    const heading = (name, text, about) =>
      element("th", { scope: "col", class: name, title: about }, text);
    const table = element(
      "table",
      { class: "neighbors" },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          heading("rank", "rank"),
          heading("name", "class"),
          heading("drawn", "", "the cosine as a bar"),
          heading("number", "cosine", "of the normalised rows, in [-1, 1]"),
          heading("number far", "distance", "Euclidean, of the normalised rows"),
          model.supported ? heading("number", "support", "share of resamples of the dimensions") : null,
          state.shown.length > 1
            ? heading("number also", "also in", "the other models shown that have it, too")
            : null,
        ),
      ),
      element("tbody", {}, rows),
    );
    const canvas = element("div", { class: "bars", "aria-hidden": "true" });
    made.append(element("div", { class: "lines" }, table, canvas));
    return { model, element: made, neighbors, rows, table, canvas };
  }

  row(model, each) {
    const label = model.label(each.index);
    const id = model.id(each.index);
    return element(
      "tr",
      {
        onpointerenter: () => this.point(each.key, true),
        onpointerleave: () => this.point(each.key, false),
      },
      element("td", { class: "rank" }, String(each.rank)),
      element(
        "td",
        { class: "name" },
        element(
          "button",
          {
            type: "button",
            class: "class",
            dir: "auto",
            title: id ? `${shortened(label, 200)} (${shortened(id, 60)})` : shortened(label, 200),
            onclick: () => focusOn(each.key),
          },
          shortened(label, 500),
        ),
      ),
      element("td", { class: "drawn" }),
      element("td", { class: "number" }, fixed(each.cosine, 4)),
      element("td", { class: "number far" }, fixed(each.euclidean, 2)),
      model.supported ? element("td", { class: "number" }, percent(each.support)) : null,
      state.shown.length > 1 ? element("td", { class: "number also" }) : null,
    );
  }

  // In how many of the other models that are shown, and know both classes, a neighbour is one, too.
  markShared(known) {
    for (const card of known) {
      card.neighbors.forEach((each, at) => {
        const others = known.filter((other) => other !== card);
        const asked = others.filter((other) => other.model.place(each.key) !== undefined);
        const agreeing = asked.filter((other) => other.neighbors.some(({ key }) => key === each.key));
        each.also = `${agreeing.length} of ${asked.length}`;
        const cell = card.rows[at].querySelector(".also");
        if (cell) cell.textContent = each.also;
      });
    }
  }

  // The same class stands out in every model while the pointer is on it.
  point(key, on) {
    for (const card of this.cards) {
      card.neighbors?.forEach((each, at) => {
        if (each.key === key) card.rows[at].classList.toggle("pointed", on);
      });
    }
  }

  // The bars lie in the empty column of the table; they are drawn again where it has changed its width.
  fit() {
    for (const card of this.cards.filter((each) => each.neighbors?.length)) {
      const cell = card.rows[0].querySelector(".drawn");
      const { offsetWidth: width, offsetLeft: left } = cell;
      const top = card.table.tBodies[0].offsetTop;
      if (card.width === width && card.left === left) continue;
      Object.assign(card, { width, left });
      Object.assign(card.canvas.style, { left: `${left}px`, top: `${top}px`, width: `${width}px` });
      this.draw(card, width);
    }
  }

  async draw(card, width) {
    const made = barFigure(
      card.neighbors,
      this.range,
      width - 8,
      { min_border_left: 4, min_border_right: 4 },
    );
    const at = (event) => card.neighbors[Math.round(event.y) - 1];
    let pointed = null;
    const point = (each) => {
      if (each === pointed) return;
      if (pointed) this.point(pointed.key, false);
      if (each) this.point(each.key, true);
      pointed = each;
    };
    made.on_event("tap", (event) => at(event) && focusOn(at(event).key));
    made.on_event("mousemove", (event) => {
      const each = at(event);
      point(each ?? null);
      if (!each) return hideTip();
      const lines = [shortened(card.model.label(each.index), 200), `cosine ${fixed(each.cosine, 4)}`];
      if (each.support !== null) lines.push(`support ${percent(each.support)}`);
      return showTip(lines, ...pointerAt(card.canvas, event));
    });
    made.on_event("mouseleave", () => {
      point(null);
      hideTip();
    });
    await place(made, card.canvas);
  }

  rows() {
    const heading = ["model", "class", "rank", "neighbor", "neighbor_concept", "cosine", "euclidean", "support"];
    const rows = this.cards
      .filter((card) => card.neighbors)
      .flatMap(({ model, neighbors }) =>
        neighbors.map((each) => [
          model.title,
          model.label(model.place(state.focus)),
          each.rank,
          model.label(each.index),
          visible(model.space.concepts[each.index]),
          shortest(each.cosine),
          shortest(each.euclidean),
          each.support,
        ]),
      );
    return [heading, ...rows];
  }

  // All cards beside each other, with their labels.
  drawing() {
    const known = this.cards.filter((card) => card.neighbors?.length);
    const figures = known.map(({ model, neighbors }) => {
      const title = `${shortened(labelOf(state.focus), 60)} in ${shortened(model.title, 40)}`;
      return labelledBars(model, neighbors, this.range, title);
    });
    return drawnAside(Bokeh.Plotting.gridplot([figures], { toolbar_location: null }));
  }
}

function swatch(shade) {
  const made = element("i", { class: "swatch" });
  made.style.background = shade;
  return made;
}

// The SVG of a figure that is not on the page.
async function drawnAside(made) {
  const aside = element("div", { class: "aside", "aria-hidden": "true" });
  document.body.append(aside);
  try {
    const view = await Bokeh.Plotting.show(made, aside);
    await new Promise((done) => setTimeout(done, 60)); // until it is laid out
    return await svgOf(view);
  } finally {
    aside.shownView?.remove();
    aside.remove();
  }
}
