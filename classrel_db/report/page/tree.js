// The view of a tree: round or straight, with pan, zoom, clades that open and close, and clusters.

const NEAR = 12; // pixels from a node within which the pointer means it

class TreeView extends TreeFigure {
  constructor(holder) {
    super();
    this.holder = holder;
    this.cursor = null;
  }

  show() {
    this.model = modelNamed.get(state.model);
    this.clades = this.model.clades;
    this.figure = null;
    const title = element("div", { class: "bar" }, element("h2", {}, "Tree"), this.controls());
    if (!this.clades) {
      const why = this.model.about.leftOut.map((text) => element("p", {}, `Left out: ${text}.`));
      this.holder.replaceChildren(title, ...why);
      return;
    }
    this.canvas = element("div", {
      class: `canvas ${state.layout === "circular" ? "round" : ""}`,
      tabindex: 0,
      role: "application",
      "aria-label": `Tree of ${this.model.title}. Arrow keys walk from node to node, Enter opens or closes ` +
        "a clade or focuses a class, plus and minus zoom, 0 shows the whole tree",
      onkeydown: (event) => this.key(event),
      onfocus: () => this.mark(this.cursor ?? this.model.place(state.focus) ?? this.clades.last, true),
      onblur: () => this.markCursor(null),
    });
    this.list = element("ul", { class: "clusters" });
    const lacking =
      this.model.place(state.focus) === undefined
        ? element("p", { class: "legend" }, `${this.model.title} has no class ${labelOf(state.focus)}.`)
        : null;
    this.holder.replaceChildren(
      title,
      lacking ?? "",
      element("div", { class: "beside" }, this.canvas, element("div", { class: "side" }, this.list)),
      element(
        "p",
        { class: "legend" },
        "Click a clade's node to close or open it, a class to focus it; wheel or pinch zooms, dragging " +
          `moves. Heights are those of ${manifest.method} linkage of ${manifest.distance} distances; clades ` +
          `have the names of the taxa (${visible(manifest.taxonomy)}) that fit them best.`,
      ),
    );
    this.draw();
  }

  controls() {
    const layouts = element(
      "select",
      { id: "layout", onchange: (event) => update({ layout: event.target.value, treeRange: null }) },
      LAYOUTS.map((each) => element("option", { selected: each === state.layout, value: each }, each)),
    );
    const clusters = element("input", {
      type: "number",
      id: "clusters",
      min: 1,
      max: Math.min(200, this.model.size),
      value: state.clusters,
      onchange: (event) =>
        update({ clusters: clamp(Math.round(Number(event.target.value) || 24), 1, 200) }),
    });
    const button = (text, work) => element("button", { type: "button", class: "quiet", onclick: work }, text);
    return element(
      "div",
      { class: "controls" },
      modelChoice(),
      this.clades
        ? [
            element("label", {}, "Layout ", layouts),
            element("label", {}, "Clusters ", clusters),
            button("Whole tree", () => this.moveTo(this.whole())),
            button("Focused class", () => this.centre()),
            state.toggled.length ? button("Undo closing", () => update({ toggled: [] })) : null,
            downloadButtons(
              () => [this.model.title, "tree"],
              () => this.rows(),
              () => svgOf(this.view),
            ),
          ]
        : null,
    );
  }

  addEvents(made) {
    made.on_event("mousemove", (event) => this.hover(event));
    made.on_event("mouseleave", hideTip);
    made.on_event("tap", (event) => {
      const node = this.nodeAt(event);
      if (node !== null) this.act(node);
    });
  }

  // The node that the pointer means: one nearby, or the class that it is beside.
  nodeAt({ x, y }) {
    const frame = this.frame();
    const [left, top] = frame.pixels([x, y]);
    let [best, least] = [null, NEAR * NEAR];
    this.points.forEach((point, at) => {
      const [px, py] = frame.pixels(point);
      const away = (px - left) ** 2 + (py - top) ** 2;
      // a clade goes before a class that is as near
      if (away < least || (away === least && best !== null && this.nodes[at] > best)) {
        [best, least] = [this.nodes[at], away];
      }
    });
    if (best !== null) return best;
    const { at, radius } = this.projection.locate(x, y);
    if (at < 0 || at > 1) return null;
    const slot = this.arrangement.slots.find(({ from, to }) => at >= from && at < to);
    if (!slot) return null;
    const inWedge = this.arrangement.closed.has(slot.node) && radius > this.arrangement.radius(slot.node);
    const reach = this.projection.labels + (LABEL_WIDTH + 6) / frame.scaleX;
    return inWedge || (radius > this.projection.labels - 0.005 && radius < reach) ? slot.node : null;
  }

  hover(event) {
    const node = this.nodeAt(event);
    this.canvas.style.cursor = node === null ? "" : "pointer";
    if (node === null) return hideTip();
    const cluster = this.clusters[this.clusterOf[node]];
    const lines = this.clades.lines(node);
    if (cluster && cluster.node !== node) lines.push(`cluster: ${shortened(cluster.name, 80)}`);
    return showTip(lines, ...pointerAt(this.canvas, event));
  }

  // A class comes into focus, a clade opens or closes.
  act(node) {
    hideTip();
    this.cursor = node;
    if (this.clades.isLeaf(node)) {
      focusOn(this.model.key(node));
      return;
    }
    const toggled = new Set(state.toggled);
    if (!toggled.delete(node)) toggled.add(node);
    const opened = this.arrangement.closed.has(node);
    update({ toggled: [...toggled] });
    announce(`${this.clades.name(node)} is ${opened ? "open" : "closed"}`);
  }

  // Put the cursor on a node, say what it is, and bring it into view.
  mark(node, quiet = false) {
    this.cursor = this.arrangement.shownFor(node);
    this.markCursor(this.cursor);
    announce(this.clades.lines(this.cursor).join(", "));
    if (quiet) return;
    const frame = this.frame();
    const point = this.projection.point(
      this.arrangement.at[this.cursor],
      this.arrangement.radius(this.cursor),
    );
    if (!frame.holds(frame.pixels(point), -20)) {
      const [x, y] = [point[0] - (frame.x0 + frame.x1) / 2, point[1] - (frame.y0 + frame.y1) / 2];
      const across = this.projection.straight ? 0 : x;
      setRanges(this.figure, [frame.x0 + across, frame.x1 + across, frame.y0 + y, frame.y1 + y]);
    }
  }

  key(event) {
    const { clades, arrangement } = this;
    const now = this.cursor === null ? clades.last : arrangement.shownFor(this.cursor);
    const opened = !clades.isLeaf(now) && !arrangement.closed.has(now);
    const beside = (step) => {
      const slot = arrangement.slotOf.get(now);
      const outermost = arrangement.slots.length - 1;
      if (slot !== undefined) return arrangement.slots[clamp(slot + step, 0, outermost)].node;
      const siblings = now === clades.last ? [now] : clades.children(clades.parent[now]);
      return siblings[clamp(siblings.indexOf(now) + step, 0, siblings.length - 1)];
    };
    const works = {
      ArrowUp: () => this.mark(now === clades.last ? now : clades.parent[now]),
      ArrowDown: () => opened && this.mark(clades.children(now)[0]),
      ArrowLeft: () => this.mark(beside(-1)),
      ArrowRight: () => this.mark(beside(1)),
      Home: () => this.mark(clades.last),
      Enter: () => this.act(now),
      " ": () => this.act(now),
      "+": () => this.zoom(0.7),
      "=": () => this.zoom(0.7),
      "-": () => this.zoom(1 / 0.7),
      0: () => this.moveTo(this.whole()),
    };
    if (!(event.key in works) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    works[event.key]();
  }

  listClusters() {
    const made = this.clusters.map(({ node, name }, number) =>
      element(
        "li",
        {},
        element(
          "button",
          { type: "button", class: "class", onclick: () => this.centreOn(this.arrangement.shownFor(node)) },
          swatch(clusterColour(number, this.clusters.length)),
          element("span", { dir: "auto" }, shortened(name, 90)),
          element("small", {}, ` ${counted(this.clades.size(node))}`),
        ),
      ),
    );
    this.list.replaceChildren(...made);
  }

  changed(before, { centre, restored }) {
    if (!this.clades || !this.figure) return this.show();
    const same = (...names) => names.every((name) => String(state[name]) === String(before[name]));
    if (!same("model", "layout")) return this.show();
    if (!same("toggled", "clusters")) {
      this.arrange();
      this.holder.querySelector(".controls").replaceWith(this.controls());
      if (document.activeElement === this.canvas) this.markCursor(this.cursor);
      this.relabel();
    }
    if (!same("focus")) {
      const places = [state.focus, before.focus].map((key) => this.model.place(key));
      if (places.includes(undefined)) return this.show();
      this.markFocus();
      this.relabel();
    }
    if (restored && !same("treeRange")) {
      setRanges(
        this.figure,
        state.treeRange ? this.projection.adapted(state.treeRange, ...this.inner()) : this.whole(),
      );
    }
    if (centre) this.centre();
    return undefined;
  }

  // The nodes that are shown.
  rows() {
    const { clades, arrangement } = this;
    const heading = ["model", "node", "parent", "height", "size", "name", "concept", "cluster", "closed"];
    const rows = this.nodes.map((node) => [
      this.model.title,
      node,
      clades.parent[node] < 0 ? null : clades.parent[node],
      clades.height(node),
      clades.size(node),
      clades.isLeaf(node) ? this.model.label(node) : clades.taxon(node),
      clades.isLeaf(node) ? visible(this.model.space.concepts[node]) : null,
      this.clusters[this.clusterOf[node]]?.name ?? null,
      arrangement.closed.has(node),
    ]);
    return [heading, ...rows];
  }
}

// The choice of the model that a view of one model shows.
function modelChoice() {
  return element(
    "label",
    {},
    "Model ",
    element(
      "select",
      {
        id: "model",
        onchange: (event) =>
          update({ model: event.target.value, toggled: [], treeRange: null, matrixRange: null }),
      },
      models.map((model) =>
        element(
          "option",
          { value: model.name, selected: model.name === state.model },
          shortened(model.title, 40),
        ),
      ),
    ),
  );
}
