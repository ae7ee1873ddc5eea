// The numbers of a matrix: of all classes with all, or of blocks of classes, in an order.

class Grid {
  constructor(model, order) {
    this.model = model;
    const { clades } = model;
    this.order = order === "leaf" && !clades && !model.about.blocks.leaf ? "class" : order;
    const blocks = model.about.blocks[this.order];
    if (blocks) this.readBlocks(blocks);
    else this.readPairs();
    this.limit = this.extremes();
  }

  readPairs() {
    const { model } = this;
    const n = model.size;
    this.blocked = false;
    this.size = n;
    const every = Array.from({ length: n }, (_, at) => at);
    this.places = this.order === "leaf" ? Array.from(model.clades.order) : every;
    this.starts = Array.from({ length: n + 1 }, (_, at) => at);
    this.values = new Float32Array(n * n).fill(NaN);
    const at = new Int32Array(n);
    this.places.forEach((index, place) => {
      at[index] = place;
    });
    let pair = 0;
    for (let a = 0; a < n; a += 1) {
      for (let b = a + 1; b < n; b += 1) {
        const cosine = model.pairs[pair] / 10000;
        pair += 1;
        this.values[at[a] * n + at[b]] = cosine;
        this.values[at[b] * n + at[a]] = cosine;
      }
    }
  }

  readBlocks(blocks) {
    const cosines = decoded(blocks.cosines);
    this.blocked = true;
    this.starts = Array.from(decoded(blocks.starts));
    this.places = Array.from(decoded(blocks.order));
    const n = this.starts.length - 1;
    this.size = n;
    this.values = new Float32Array(n * n).fill(NaN);
    let pair = 0;
    for (let a = 0; a < n; a += 1) {
      for (let b = a; b < n; b += 1) {
        const cosine = cosines[pair] === NO_MEAN ? NaN : cosines[pair] / 10000;
        pair += 1;
        this.values[a * n + b] = cosine;
        this.values[b * n + a] = cosine;
      }
    }
  }

  value(row, column) {
    return this.values[row * this.size + column];
  }

  // The classes of a row: one, or those of a block.
  members(row) {
    return this.places.slice(this.starts[row], this.starts[row + 1]);
  }

  // How many classes a block has, about.
  blockSize() {
    return Math.round(this.model.size / this.size);
  }

  // The row in which a class stands.
  rowOf(index) {
    const place = this.places.indexOf(index);
    let [low, high] = [0, this.size];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] <= place) low = middle;
      else high = middle;
    }
    return low;
  }

  // A block is called by one of its classes, and how many more it has.
  label(row, index = this.places[this.starts[row]]) {
    const members = this.members(row);
    const first = this.model.label(index);
    return members.length === 1 ? first : `${first} +${members.length - 1}`;
  }

  // What 999 of 1000 cells lie within, on both sides of zero, so that a few do not take all of the colours.
  extremes() {
    const step = Math.max(1, Math.floor(this.values.length / 200000));
    const some = [];
    for (let at = 0; at < this.values.length; at += step) {
      if (!Number.isNaN(this.values[at])) some.push(Math.abs(this.values[at]));
    }
    some.sort((a, b) => a - b);
    const high = some[Math.floor((some.length - 1) * 0.995)] ?? 0.1;
    return Math.max(0.01, Math.ceil(high * 100) / 100);
  }
}
