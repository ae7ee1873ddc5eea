// Where the nodes of a tree lie: along the leaves a place from 0 to 1, across them a radius, 0 for the
// root and 1 for classes; and how the two become a point, round or straight.

const GAP = (6 * Math.PI) / 180; // between the last class and the first, in a circle

// What is shown of a tree with some clades closed. A closed clade takes the room of a few classes.
class Arrangement {
  constructor(clades, closed) {
    this.clades = clades;
    this.closed = closed;
    this.at = new Float64Array(clades.last + 1).fill(NaN);
    this.slots = [];
    this.joined = [];
    let room = 0;
    const waiting = [clades.last];
    while (waiting.length) {
      const node = waiting.pop();
      if (clades.isLeaf(node) || closed.has(node)) {
        const needed = clades.isLeaf(node) ? 1 : 1 + Math.log2(clades.size(node));
        this.slots.push({ node, from: room, to: room + needed });
        room += needed;
      } else {
        this.joined.push(node);
        const [one, other] = clades.children(node);
        waiting.push(other, one);
      }
    }
    this.slots.forEach((slot) => {
      slot.from /= room;
      slot.to /= room;
      this.at[slot.node] = (slot.from + slot.to) / 2;
    });
    this.joined.sort((a, b) => a - b);
    for (const node of this.joined) {
      const [one, other] = clades.children(node);
      this.at[node] = (this.at[one] + this.at[other]) / 2;
    }
    this.slotOf = new Map(this.slots.map((slot, place) => [slot.node, place]));
  }

  isShown(node) {
    return !Number.isNaN(this.at[node]);
  }

  // The node itself, or the closed clade that it lies in.
  shownFor(node) {
    return this.clades.path(node).find((each) => this.isShown(each));
  }

  radius(node) {
    return 1 - this.clades.height(node) / this.clades.top;
  }

  // From which place and up to which the slots of a shown node extend.
  span(node) {
    let [low, high] = [node, node];
    while (!this.slotOf.has(low)) [low] = this.clades.children(low);
    while (!this.slotOf.has(high)) [, high] = this.clades.children(high);
    return [this.slots[this.slotOf.get(low)].from, this.slots[this.slotOf.get(high)].to];
  }

  // All nodes that are shown.
  nodes() {
    return [...this.joined, ...this.slots.map((slot) => slot.node)];
  }
}

// The ring of clusters and the labels keep their distance from the tree in pixels, however near one is.
const RING = [5, 14];
const LABELS = 20;
const OUTSIDE = 200; // pixels for labels beside the ring

class Projection {
  // `scale`: how many pixels a unit across the leaves takes.
  constructor(straight) {
    this.straight = straight;
    this.setScale(300);
  }

  setScale(scale) {
    this.ring = RING.map((pixels) => 1 + pixels / scale);
    this.labels = 1 + LABELS / scale;
  }
}

class Circular extends Projection {
  constructor() {
    super(false);
  }

  angle(at) {
    return Math.PI / 2 - GAP / 2 - at * (2 * Math.PI - GAP);
  }

  point(at, radius) {
    const angle = this.angle(at);
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  }

  // The way along the leaves from one place to another.
  along(from, to, radius) {
    // far outside the tree an arc is small in the frame: no more steps than near it
    const steps = Math.max(1, Math.ceil(Math.abs(to - from) * 180 * clamp(radius, 0.35, 4)));
    return Array.from({ length: steps + 1 }, (_, step) =>
      this.point(from + ((to - from) * step) / steps, radius),
    );
  }

  // The place and radius of a point; the place is outside of 0 to 1 in the gap.
  locate(x, y) {
    let turned = Math.PI / 2 - GAP / 2 - Math.atan2(y, x);
    if (turned < -GAP / 2) turned += 2 * Math.PI;
    return { at: turned / (2 * Math.PI - GAP), radius: Math.hypot(x, y) };
  }

  // The whole of it in a frame of that size; `labels` is the room in pixels that those of its `slots` take.
  whole(width, height, slots, labels) {
    const names = width > 520 ? 190 : 12;
    const scale = (beside) =>
      Math.min(width / 2 - names - beside, height / 2 - 12 - beside) - RING[1];
    // labels only where about every other class then has one
    const near = scale(labels);
    const labelled = this.spacing(1 / slots, near) >= LEAST_SPACING;
    const pixels = Math.max(20, labelled ? near : Math.min(scale(0), this.unlabelled(slots)));
    return [-width / 2 / pixels, width / 2 / pixels, -height / 2 / pixels, height / 2 / pixels];
  }

  // The largest scale at which no class has a label.
  unlabelled(slots) {
    return ((LEAST_SPACING - 0.01) * slots) / (2 * Math.PI - GAP) - LABELS;
  }

  // The same centre and height in a frame of another shape.
  adapted([x0, x1, y0, y1], width, height) {
    const half = ((y1 - y0) / 2) * (width / height);
    const middle = (x0 + x1) / 2;
    return [middle - half, middle + half, y0, y1];
  }

  // The class at a place near the middle, in a frame where a unit takes so many pixels; the tree has more
  // of the frame than what is outside.
  around(at, width, height, pixels) {
    const angle = this.angle(at);
    const across = Math.min(
      width / 2 / Math.max(1e-9, Math.abs(Math.cos(angle))),
      height / 2 / Math.max(1e-9, Math.abs(Math.sin(angle))),
    );
    const [x, y] = this.point(at, 1 - Math.max(0, across - OUTSIDE) / 2 / pixels);
    const [halfWidth, halfHeight] = [width / 2 / pixels, height / 2 / pixels];
    return [x - halfWidth, x + halfWidth, y - halfHeight, y + halfHeight];
  }

  // Pixels between leaves that are `share` of the whole apart.
  spacing(share, scaleX) {
    return share * (2 * Math.PI - GAP) * (scaleX + LABELS);
  }
}

class Rectangular extends Projection {
  constructor() {
    super(true);
  }

  point(at, radius) {
    return [radius, -at];
  }

  along(from, to, radius) {
    return [this.point(from, radius), this.point(to, radius)];
  }

  locate(x, y) {
    return { at: -y, radius: x };
  }

  // Labels, and the names of clusters behind them, take half of a narrow frame.
  whole(width) {
    const room = Math.min(width * 0.5, 380);
    const scale = Math.max(20, width - room - 8 - LABELS);
    return [-8 / scale, (width - 8) / scale, -1.01, 0.01];
  }

  adapted([, , y0, y1], width, height) {
    const [x0, x1] = this.whole(width, height);
    return [x0, x1, y0, y1];
  }

  around(at, width, height, pixels) {
    const [x0, x1] = this.whole(width, height);
    const half = height / 2 / pixels;
    return [x0, x1, -at - half, -at + half];
  }

  spacing(share, scaleX, scaleY) {
    return share * scaleY;
  }
}
