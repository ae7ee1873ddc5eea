// Which labels of a tree are drawn: those that have room. They come as one zooms in.

const LINE = 13; // pixels that a line of text takes
const LABEL_WIDTH = 170; // pixels of the longest label of a class
const LEAST_SPACING = 6.5; // pixels between classes from which on every other of them has a label
const NAME_WIDTH = 175; // pixels of the longest name of a cluster
const LEAST_WIDTH = 44; // pixels without which no name is begun

// What a frame shows: its ranges, its size in pixels, and how many pixels a unit takes.
class Frame {
  constructor([x0, x1, y0, y1], width, height) {
    Object.assign(this, { x0, x1, y0, y1, width, height });
    this.scaleX = width / (x1 - x0);
    this.scaleY = height / (y1 - y0);
  }

  pixels([x, y]) {
    return [(x - this.x0) * this.scaleX, (this.y1 - y) * this.scaleY];
  }

  units([left, top]) {
    return [this.x0 + left / this.scaleX, this.y1 - top / this.scaleY];
  }

  holds([left, top], margin = 0) {
    return (
      left > -margin && left < this.width + margin && top > -margin && top < this.height + margin
    );
  }
}

function emptyText() {
  return { x: [], y: [], text: [], angle: [], align: [], shade: [], weight: [], node: [] };
}

// The node in focus stands out.
function addText(columns, [x, y], text, angle, align, node, focused) {
  columns.x.push(x);
  columns.y.push(y);
  columns.text.push(text);
  columns.angle.push(angle);
  columns.align.push(align);
  columns.shade.push(colour(focused ? "accent" : "text"));
  columns.weight.push(focused ? "bold" : "normal");
  columns.node.push(node);
}

// The angle of a label and the side it begins on: none is upside down.
function turned(projection, at) {
  if (projection.straight) return [0, "left"];
  const angle = projection.angle(at);
  return Math.cos(angle) >= 0 ? [angle, "left"] : [angle + Math.PI, "right"];
}

// The labels of classes and closed clades, as many as have room; that of the focused one before all others.
function leafLabels(arrangement, projection, frame, focused) {
  const columns = emptyText();
  const { slots, clades } = arrangement;
  const whole = projection.spacing(1, frame.scaleX, frame.scaleY);
  const own = arrangement.slotOf.has(focused) ? arrangement.at[focused] : -Infinity;
  let before = -Infinity;
  for (const { node } of slots) {
    const at = arrangement.at[node];
    const fits = (at - before) * whole >= LINE && Math.abs(at - own) * whole >= LINE;
    if (!fits && node !== focused) continue;
    if (node !== focused) before = at;
    const point = projection.point(at, projection.labels);
    const [left, top] = frame.pixels(point);
    if (!frame.holds([left, top], projection.straight ? -LINE / 2 : LABEL_WIDTH)) continue;
    const [angle, align] = turned(projection, at);
    const text = nodeLabel(clades, node, LABEL_WIDTH);
    addText(columns, point, text, angle, align, node, node === focused);
  }
  return columns;
}

function nodeLabel(clades, node, width) {
  const size = clades.isLeaf(node) ? "" : ` (${counted(clades.size(node))})`;
  return fitted(clades.name(node), width - textWidth(size)) + size;
}

// The names of clusters beside the tree and its labels, each with a line to its part of the ring. While no
// class has a label, that of the focused one stands among them. They make way for each other; where there is no
// room for all, those of small clusters are left out.
function clusterNames(arrangement, projection, frame, clusters, labels, focused) {
  const columns = emptyText();
  const leaders = { xs: [], ys: [] };
  const labelled = labels.text.length > 0;
  const reach = Math.max(0, ...labels.text.map((text) => textWidth(text))) * 1.08; // one is bold
  const outside = projection.labels + (labelled ? reach + 12 : 0) / frame.scaleX;
  const placed = (node, name, size, own) => {
    const [from, to] = arrangement.span(node);
    const at = (from + to) / 2;
    const ring = frame.pixels(projection.point(at, projection.ring[1]));
    const end = frame.pixels(projection.point(at, outside));
    const right = projection.straight || end[0] >= frame.pixels([0, 0])[0];
    return { node, name, size, own, ring, end, right };
  };
  const wanted = clusters
    .filter(({ node }) => arrangement.isShown(node))
    .filter(({ node }) => !labelled || !arrangement.slotOf.has(node)) // has a label of its own
    .map(({ node, name }) => placed(node, name, arrangement.clades.size(node), false));
  if (!labelled && focused !== undefined) {
    wanted.push(placed(focused, arrangement.clades.name(focused), Infinity, true));
  }
  const shown = wanted.filter(({ ring }) => frame.holds(ring, projection.straight ? 0 : 40));
  for (const side of [shown.filter(({ right }) => right), shown.filter(({ right }) => !right)]) {
    for (const each of spread(side, frame.height, labelled)) {
      const x = projection.straight ? each.end[0] : besideCircle(each, frame, outside);
      const room = Math.min(NAME_WIDTH, each.right ? frame.width - x - 4 : x - 4);
      if (room < LEAST_WIDTH) continue;
      const text = fitted(each.name, room - (each.own ? 16 : 0), 12);
      const align = each.right ? "left" : "right";
      addText(columns, frame.units([x, each.top]), text, 0, align, each.node, each.own);
      if (labelled) continue;
      const points = [frame.units(each.ring), frame.units([x + (each.right ? -4 : 4), each.top])];
      leaders.xs.push(points.map(([px]) => px));
      leaders.ys.push(points.map(([, py]) => py));
    }
  }
  return { columns, leaders };
}

// Beside the circle, as near to it as the height of the line allows.
function besideCircle({ top, right }, frame, outside) {
  const [centre, middle] = frame.pixels([0, 0]);
  const radius = outside * frame.scaleX;
  const half = Math.sqrt(Math.max(0, radius * radius - (top - middle) * (top - middle)));
  const reach = Math.max(half, radius * 0.25);
  return right ? centre + reach : centre - reach;
}

// Lines of text moved apart so that none lies on another; where there are too many, the smallest go.
function spread(side, height, near) {
  const line = LINE + 2;
  const most = Math.max(1, Math.floor((height - 8) / line));
  const kept = [...side]
    .sort((a, b) => b.size - a.size)
    .slice(0, most)
    .sort((a, b) => a.end[1] - b.end[1])
    .map((each) => ({ ...each, top: clamp(each.end[1], 8, height - 8) }));
  for (let round = 0; round < 60; round += 1) {
    let moved = false;
    for (let at = 1; at < kept.length; at += 1) {
      const lacking = line - (kept[at].top - kept[at - 1].top);
      if (lacking > 0.01) {
        kept[at - 1].top -= lacking / 2;
        kept[at].top += lacking / 2;
        moved = true;
      }
    }
    kept.forEach((each) => {
      each.top = clamp(each.top, 8, height - 8);
    });
    if (!moved) break;
  }
  let before = -Infinity;
  return kept.filter((each) => {
    const fits = each.top - before >= line - 0.5 && !(near && Math.abs(each.top - each.end[1]) > 60);
    if (fits) before = each.top;
    return fits;
  });
}
