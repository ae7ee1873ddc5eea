// The lines and areas of a tree, as columns that BokehJS draws: branches in the colours of their clusters.

// The paths of many lines as one of each colour: a gap, NaN, parts them.
class Lines {
  constructor() {
    this.byColour = new Map();
  }

  add(shade, points) {
    if (!this.byColour.has(shade)) this.byColour.set(shade, { xs: [], ys: [] });
    const { xs, ys } = this.byColour.get(shade);
    for (const [x, y] of points) {
      xs.push(x);
      ys.push(y);
    }
    xs.push(NaN);
    ys.push(NaN);
  }

  columns() {
    const all = [...this.byColour];
    return {
      xs: all.map(([, { xs }]) => Float64Array.from(xs)),
      ys: all.map(([, { ys }]) => Float64Array.from(ys)),
      shade: all.map(([shade]) => shade),
    };
  }
}

// The cluster of each node, by the number of its place in `clusters`; -1 for what joins them.
function clusterOfNodes(clades, clusters) {
  const found = new Int32Array(clades.last + 1).fill(-1);
  clusters.forEach(({ node }, number) => {
    found[node] = number;
  });
  for (let node = clades.last; node >= clades.n; node -= 1) {
    if (found[node] < 0) continue;
    for (const child of clades.children(node)) found[child] = found[node];
  }
  return found;
}

function branchColumns(arrangement, projection, shadeOf) {
  const { clades } = arrangement;
  const lines = new Lines();
  for (const node of arrangement.joined) {
    const radius = arrangement.radius(node);
    const children = clades.children(node);
    const [from, to] = children.map((child) => arrangement.at[child]);
    lines.add(shadeOf(node), projection.along(from, to, radius));
    for (const child of children) {
      const at = arrangement.at[child];
      const ends = [projection.point(at, radius), projection.point(at, arrangement.radius(child))];
      lines.add(shadeOf(child), ends);
    }
  }
  return lines.columns();
}

// Closed clades as wedges, from where they are joined to where the classes are.
function wedgeColumns(arrangement, projection, shadeOf) {
  const closed = arrangement.slots.filter(({ node }) => !arrangement.clades.isLeaf(node));
  const outlines = closed.map(({ node, from, to }) => {
    const margin = (to - from) * 0.1;
    const top = projection.point(arrangement.at[node], arrangement.radius(node));
    return [top, ...projection.along(from + margin, to - margin, 1)];
  });
  return {
    xs: outlines.map((points) => points.map(([x]) => x)),
    ys: outlines.map((points) => points.map(([, y]) => y)),
    shade: closed.map(({ node }) => shadeOf(node)),
  };
}

// The ring between classes and labels: an area for each cluster that is not inside a closed clade.
function ringColumns(arrangement, projection, clusters) {
  const [inner, outer] = projection.ring;
  const shown = clusters
    .map((cluster, number) => ({ ...cluster, number }))
    .filter(({ node }) => arrangement.isShown(node));
  const outlines = shown.map(({ node }) => {
    const [from, to] = arrangement.span(node);
    return [...projection.along(from, to, inner), ...projection.along(to, from, outer)];
  });
  return {
    xs: outlines.map((points) => points.map(([x]) => x)),
    ys: outlines.map((points) => points.map(([, y]) => y)),
    shade: shown.map(({ number }) => clusterColour(number, clusters.length)),
  };
}

// From the root to a node that is shown.
function pathColumns(arrangement, projection, node) {
  const points = [];
  let below = node;
  points.push(projection.point(arrangement.at[below], arrangement.radius(below)));
  for (const above of arrangement.clades.path(node).slice(1)) {
    const radius = arrangement.radius(above);
    points.push(...projection.along(arrangement.at[below], arrangement.at[above], radius));
    below = above;
  }
  return { xs: [points.map(([x]) => x)], ys: [points.map(([, y]) => y)] };
}
