// A tree of classes: nodes below n are classes, the others clades in the order in which they were joined,
// the root last. As scipy.cluster.hierarchy has it.

const MOST_OPEN = 1200; // classes of a tree up to which all of it is open at first
const OPEN_AT_FIRST = 400; // clades of a larger one that are shown closed

class Clades {
  constructor(stored, model) {
    this.model = model;
    this.n = model.size;
    this.last = 2 * this.n - 2;
    this.left = decoded(stored.left);
    this.right = decoded(stored.right);
    this.heights = decoded(stored.heights);
    this.order = decoded(stored.order);
    this.medoids = decoded(stored.medoids);
    this.taxa = decoded(stored.names);
    this.f1 = decoded(stored.f1);
    this.support = Object.entries(stored.support).map(([kind, { shares, of, seed }]) => ({
      kind,
      shares: decoded(shares),
      of,
      seed,
    }));
    this.join();
    lazily(this, { closedAtFirst: () => this.topmost() });
  }

  // Parents, and the places of the leaves from which and up to which each node extends.
  join() {
    const { n } = this;
    const nodes = this.last + 1;
    this.parent = new Int32Array(nodes).fill(-1);
    this.first = new Int32Array(nodes);
    this.end = new Int32Array(nodes);
    this.order.forEach((leaf, at) => {
      this.first[leaf] = at;
      this.end[leaf] = at + 1;
    });
    for (let node = n; node < nodes; node += 1) {
      const [one, other] = this.children(node);
      this.parent[one] = node;
      this.parent[other] = node;
      this.first[node] = Math.min(this.first[one], this.first[other]);
      this.end[node] = Math.max(this.end[one], this.end[other]);
    }
    this.top = Math.max(...this.heights.subarray(-1), 1e-12);
    for (const height of this.heights) this.top = Math.max(this.top, height);
  }

  // The children of a clade, that first in leaf order first.
  children(node) {
    const [one, other] = [this.left[node - this.n], this.right[node - this.n]];
    return this.first[one] <= this.first[other] ? [one, other] : [other, one];
  }

  isLeaf(node) {
    return node < this.n;
  }

  size(node) {
    return this.end[node] - this.first[node];
  }

  height(node) {
    return this.isLeaf(node) ? 0 : this.heights[node - this.n];
  }

  taxon(node) {
    const found = this.taxa[node - this.n];
    return found < 0 ? null : manifest.strings[found];
  }

  // What a node is called: a class by its label, a clade by its taxon or by its most central class.
  name(node) {
    if (this.isLeaf(node)) return this.model.label(node);
    return this.taxon(node) ?? this.model.label(this.medoids[node - this.n]);
  }

  // All that is known of a node, a line each.
  lines(node) {
    if (this.isLeaf(node)) {
      const id = this.model.id(node);
      return [shortened(this.model.label(node), 200), ...(id ? [shortened(id, 60)] : [])];
    }
    const at = node - this.n;
    const taxon = this.taxon(node);
    const central = shortened(this.model.label(this.medoids[at]), 80);
    const lines = [
      taxon === null ? `clade around ${central}` : shortened(taxon, 120),
      `${counted(this.size(node))} classes joined at height ${fixed(this.heights[at], 3)}`,
    ];
    if (taxon !== null) lines.push(`F1 ${fixed(this.f1[at], 2)} with this taxon; around ${central}`);
    for (const { kind, shares, of } of this.support) {
      if (shares[at] === NO_SHARE) continue;
      const what = kind === "models" ? "other models" : `${of} resamples of the dimensions`;
      lines.push(`in ${percent(shares[at] / 10000)} of ${what}`);
    }
    return lines;
  }

  // So many clusters: the last merges undone. In leaf order, names that several have told apart.
  cut(count) {
    const wanted = clamp(count, 1, this.n);
    const from = this.last + 1 - (wanted - 1);
    const nodes = [];
    for (let node = 0; node < from; node += 1) {
      if (this.parent[node] >= from || this.parent[node] < 0) nodes.push(node);
    }
    nodes.sort((a, b) => this.first[a] - this.first[b]);
    const names = nodes.map((node) => this.name(node));
    const times = new Map();
    names.forEach((name) => times.set(name, (times.get(name) ?? 0) + 1));
    return nodes.map((node, at) => {
      const central = this.isLeaf(node) ? node : this.medoids[node - this.n];
      const label = this.model.label(central);
      const twice = times.get(names[at]) > 1 && names[at] !== label;
      return { node, name: twice ? `${names[at]}: ${label}` : names[at] };
    });
  }

  // The clades that are closed at first: none of a small tree, those of a cut of a large one.
  topmost() {
    if (this.n <= MOST_OPEN) return new Set();
    return new Set(
      this.cut(OPEN_AT_FIRST)
        .map(({ node }) => node)
        .filter((node) => !this.isLeaf(node)),
    );
  }

  // The clades that are closed: those at first, but for those toggled since.
  closed(toggled) {
    const found = new Set(this.closedAtFirst);
    for (const node of toggled) {
      if (this.isLeaf(node)) continue;
      if (!found.delete(node)) found.add(node);
    }
    return found;
  }

  // From a node to the root.
  path(node) {
    const found = [node];
    while (this.parent[node] >= 0) {
      node = this.parent[node];
      found.push(node);
    }
    return found;
  }
}
