// The view of the matrix: cosines of all classes with all, by colour, and by number where cells are large.

class MatrixView extends MatrixFigure {
  constructor(holder) {
    super();
    this.holder = holder;
    this.grids = new Map();
  }

  show() {
    this.model = modelNamed.get(state.model);
    const key = `${state.order} ${this.model.name}`;
    if (!this.grids.has(key)) {
      this.grids.clear(); // one is enough to hold
      this.grids.set(key, new Grid(this.model, state.order));
    }
    this.grid = this.grids.get(key);
    this.cursor = null;
    this.canvas = element("div", {
      class: "canvas square",
      tabindex: 0,
      role: "application",
      "aria-label": `Cosines of ${this.model.title}. Arrow keys walk from cell to cell, Enter focuses the class ` +
        "of the row, plus and minus zoom, 0 shows the whole matrix",
      onkeydown: (event) => this.key(event),
      onfocus: () => this.mark(this.cursor ?? this.start()),
      onblur: () => this.markCursor(null),
    });
    this.list = element("div");
    this.listNearest();
    const what = this.grid.blocked
      ? `A cell is the mean cosine of the pairs between two blocks of about ${this.grid.blockSize()} ` +
        `classes that are neighbours in this order: ${counted(this.model.size)} classes are too many ` +
        `for a cell each. `
      : "The diagonal, each class with itself, is left out. ";
    this.holder.replaceChildren(
      element("div", { class: "bar" }, element("h2", {}, "Matrix"), this.controls()),
      element("div", { class: "beside" }, this.canvas, element("div", { class: "side" }, this.list)),
      element(
        "p",
        { class: "legend" },
        `${what}Colours end at ±${this.grid.limit.toFixed(2)}; stronger cosines have the colour of the ` +
          "end. Click a cell to focus the class of its row; wheel or pinch zooms, dragging moves; large " +
          "cells hold their values.",
      ),
    );
    this.draw();
  }

  controls() {
    const hasLeafOrder = this.model.clades || this.model.about.blocks.leaf;
    const orders = element(
      "select",
      { id: "order", onchange: (event) => update({ order: event.target.value, matrixRange: null }) },
      ORDERS.filter((each) => each === "class" || hasLeafOrder).map((each) =>
        element(
          "option",
          { value: each, selected: each === this.grid.order },
          each === "leaf" ? "leaves of the tree" : "classes",
        ),
      ),
    );
    const button = (text, work) => element("button", { type: "button", class: "quiet", onclick: work }, text);
    return element(
      "div",
      { class: "controls" },
      modelChoice(),
      element("label", {}, "Order ", orders),
      button("Whole matrix", () => glide(this.figure, this.whole())),
      button("Focused class", () => this.centre()),
      downloadButtons(() => [this.model.title, "cosines"], () => this.rows(), () => svgOf(this.view)),
    );
  }

  cellAt({ x, y }) {
    return [Math.floor(y), Math.floor(x)];
  }

  isCell(row, column) {
    const { size } = this.grid;
    return row >= 0 && column >= 0 && row < size && column < size;
  }

  lines(row, column) {
    const { grid } = this;
    const name = (at) => {
      const members = grid.members(at);
      const text = members.slice(0, 3).map((index) => shortened(this.model.label(index), 60)).join(", ");
      return members.length > 3 ? `${text} and ${members.length - 3} more` : text;
    };
    const value = grid.value(row, column);
    const what = grid.blocked ? "mean cosine" : "cosine";
    return [
      Number.isNaN(value) ? "the same class" : `${what} ${fixed(value, 4)}`,
      name(row),
      ...(row === column ? [] : [name(column)]),
    ];
  }

  hover(event) {
    const [row, column] = this.cellAt(event);
    if (!this.isCell(row, column)) return hideTip();
    return showTip(this.lines(row, column), ...pointerAt(this.canvas, event));
  }

  focusRow(row, column) {
    this.cursor = [row, column];
    focusOn(this.model.key(this.grid.members(row)[0]));
  }

  // The nearest of the focused class, beside the matrix.
  listNearest() {
    const focused = this.model.place(state.focus);
    if (focused === undefined) {
      const text = `${this.model.title} has no class ${shortened(labelOf(state.focus), 80)}.`;
      this.list.replaceChildren(element("p", {}, text));
      return;
    }
    const rows = this.model.neighbors(focused, 25).map((each) =>
      element(
        "li",
        {},
        element(
          "button",
          { type: "button", class: "class", onclick: () => focusOn(each.key, { centre: true }) },
          element("span", { dir: "auto" }, shortened(this.model.label(each.index), 90)),
          element("small", {}, fixed(each.cosine, 4)),
        ),
      ),
    );
    this.list.replaceChildren(
      element("h3", { dir: "auto" }, `Nearest to ${shortened(labelOf(state.focus), 80)}`),
      element("ol", { class: "clusters" }, rows),
    );
  }

  mark(cell) {
    this.cursor = cell;
    this.markCursor(cell);
    announce(this.lines(...cell).join(", "));
    const [x0, x1, y1, y0] = rangeValues(this.figure);
    const [row, column] = cell;
    const outside = column < x0 || column + 1 > x1 || row < y0 || row + 1 > y1;
    if (outside) {
      const [dx, dy] = [column + 0.5 - (x0 + x1) / 2, row + 0.5 - (y0 + y1) / 2];
      setRanges(this.figure, [x0 + dx, x1 + dx, y1 + dy, y0 + dy]);
    }
  }

  key(event) {
    const [row, column] = this.cursor ?? this.start();
    const last = this.grid.size - 1;
    const inside = (at) => clamp(at, 0, last);
    const to = (down, across) => () => this.mark([inside(row + down), inside(column + across)]);
    const works = {
      ArrowUp: to(-1, 0),
      ArrowDown: to(1, 0),
      ArrowLeft: to(0, -1),
      ArrowRight: to(0, 1),
      Home: to(-Infinity, -Infinity),
      Enter: () => this.focusRow(row, column),
      "+": () => this.zoom(0.6),
      "=": () => this.zoom(0.6),
      "-": () => this.zoom(1 / 0.6),
      0: () => glide(this.figure, this.whole()),
    };
    if (!(event.key in works) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    works[event.key]();
  }

  changed(before, { centre, restored }) {
    const same = (...names) => names.every((name) => String(state[name]) === String(before[name]));
    if (!this.figure || !same("model", "order")) return this.show();
    if (!same("focus")) {
      this.listNearest();
      this.markFocus();
      this.relabel();
    }
    if (restored && !same("matrixRange")) {
      const stored = state.matrixRange;
      setRanges(this.figure, stored ? [stored[0], stored[1], stored[3], stored[2]] : this.whole());
    }
    if (centre) this.centre();
    return undefined;
  }

  // The cells in view, and no more than a spreadsheet takes.
  rows() {
    const { grid } = this;
    const [x0, x1, y1, y0] = rangeValues(this.figure);
    const inside = (low, high) => {
      const from = clamp(Math.floor(low), 0, grid.size);
      return Array.from({ length: clamp(Math.ceil(high), 0, grid.size) - from }, (_, at) => from + at);
    };
    const columns = inside(x0, x1);
    const text = (value) => (Number.isNaN(value) ? "" : fixed(value, 4));
    const cells = (row) => columns.map((column) => text(grid.value(row, column)));
    return [
      ["", ...columns.map((column) => grid.label(column))],
      ...inside(y0, y1).map((row) => [grid.label(row), ...cells(row)]),
    ];
  }
}
