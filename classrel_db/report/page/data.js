// What the page holds, decoded when it is first asked for.

const KINDS = {
  u2: Uint16Array,
  u4: Uint32Array,
  i2: Int16Array,
  i4: Int32Array,
  f4: Float32Array,
  f8: Float64Array,
};
const NO_SHARE = 0xffff;
const NO_MEAN = -0x8000;
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function read(id) {
  return document.getElementById(id).textContent;
}

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const signs = atob(text);
  const bytes = new Uint8Array(signs.length);
  for (let at = 0; at < signs.length; at += 1) bytes[at] = signs.charCodeAt(at);
  return bytes;
}

// A typed array; the page holds it in little-endian order.
function decoded({ id, kind, length }) {
  const bytes = bytesOf(read(id));
  const Kind = KINDS[kind];
  if (!LITTLE_ENDIAN) {
    const size = Kind.BYTES_PER_ELEMENT;
    for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  }
  return new Kind(bytes.buffer, bytes.byteOffset, length);
}

// Compute a property once, when it is first read.
function lazily(target, properties) {
  for (const [name, make] of Object.entries(properties)) {
    Object.defineProperty(target, name, {
      configurable: true,
      get() {
        const value = make();
        Object.defineProperty(target, name, { value });
        return value;
      },
    });
  }
}

// An ordered list of classes, which models may share. A class is known across models by its key.
class LabelSpace {
  constructor(stored) {
    lazily(this, {
      labels: () => JSON.parse(read(stored.labels)).map(visible),
      concepts: () => JSON.parse(read(stored.concepts)),
      keys: () => (stored.keys ? JSON.parse(read(stored.keys)) : this.concepts),
      places: () => new Map(this.keys.map((key, index) => [key, index])),
    });
  }
}

class Model {
  constructor(stored, spaces) {
    this.name = stored.name;
    this.title = visible(stored.name);
    this.about = stored;
    this.size = stored.classes;
    this.space = spaces[stored.space];
    this.nearest = stored.nearest;
    this.supported = stored.supported;
    lazily(this, {
      norms: () => decoded(stored.norms),
      neighborIndices: () => decoded(stored.neighbors),
      neighborCosines: () => decoded(stored.cosines),
      supports: () => (stored.support ? decoded(stored.support) : null),
      pairs: () => (stored.pairs ? decoded(stored.pairs) : null),
      clades: () => (stored.tree ? new Clades(stored.tree, this) : null),
    });
  }

  label(index) {
    return this.space.labels[index];
  }

  // The concept, where it says more than the label.
  id(index) {
    const concept = this.space.concepts[index];
    return concept === this.label(index).toLowerCase() ? "" : visible(concept);
  }

  key(index) {
    return this.space.keys[index];
  }

  // The class of a key, undefined where the model lacks it.
  place(key) {
    return this.space.places.get(key);
  }

  // As sqrt(a² + b² - 2ab·cos), which the database computes.
  euclidean(a, b, cosine) {
    const [first, second] = [this.norms[a], this.norms[b]];
    const square = first * first + second * second - 2 * first * second * cosine;
    return Math.fround(Math.sqrt(Math.max(square, 0)));
  }

  // The nearest classes of one, up to the number that is stored.
  neighbors(index, count) {
    const found = [];
    for (let at = 0; at < Math.min(count, this.nearest); at += 1) {
      const place = index * this.nearest + at;
      const other = this.neighborIndices[place];
      const cosine = this.neighborCosines[place];
      const share =
        at < this.supported ? this.supports[index * this.supported + at] : NO_SHARE;
      found.push({
        rank: at + 1,
        index: other,
        key: this.key(other),
        cosine,
        euclidean: this.euclidean(index, other, cosine),
        support: share === NO_SHARE ? null : share / 10000,
      });
    }
    return found;
  }
}

const manifest = JSON.parse(read("manifest"));
const spaces = manifest.spaces.map((stored) => new LabelSpace(stored));
const models = manifest.models.map((stored) => new Model(stored, spaces));
const modelNamed = new Map(models.map((model) => [model.name, model]));
lazily(manifest, {
  strings: ((id) => () => JSON.parse(read(id)).map(visible))(manifest.strings),
  disagreements: ((id) => () => JSON.parse(read(id)))(manifest.disagreements),
});

// Every class of the page once: by its key, called as the first model that has it calls it. `others` are
// the labels and ids that it has in other models.
const classes = new Map();
for (const space of spaces) {
  space.keys.forEach((key, index) => {
    const label = space.labels[index];
    const concept = visible(space.concepts[index]);
    const id = concept === label.toLowerCase() ? "" : concept;
    const first = classes.get(key);
    if (!first) {
      classes.set(key, { key, label, id, others: [] });
    } else if (![first, ...first.others].some((each) => each.label === label && each.id === id)) {
      first.others.push({ label, id });
    }
  });
}

function labelOf(key) {
  return classes.get(key)?.label ?? "";
}
