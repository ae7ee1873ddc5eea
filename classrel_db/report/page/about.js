// The view that says what is here, how it was found and how to read it.

const UNLIKE = "The models are normalised in different ways: their numbers do not mean the same.";
const COLUMNS = [
  "model",
  "source",
  "classes are of",
  "classes",
  "width",
  "normalisation",
  "SHA-256 of the weights",
];

class AboutView {
  constructor(holder) {
    this.holder = holder;
  }

  show() {
    const heading = (text) => element("th", { scope: "col" }, text);
    const rows = models.map(({ title, about }) =>
      element(
        "tr",
        {},
        element("td", {}, shortened(title, 80)),
        element("td", {}, visible(about.source)),
        element("td", {}, visible(about.labelSpace)),
        element("td", { class: "number" }, counted(about.classes)),
        element("td", { class: "number" }, counted(about.dim)),
        element("td", {}, about.normalization),
        element("td", { class: "digest" }, about.sha256.slice(0, 16)),
      ),
    );
    const leftOut = models.flatMap(({ title, about }) =>
      about.leftOut.map((text) => element("li", {}, `${shortened(title, 80)}: ${visible(text)}`)),
    );
    const section = (title, ...texts) => [
      element("h3", {}, title),
      ...texts.map((text) => (typeof text === "string" ? element("p", {}, text) : text)),
    ];
    const named = models.map(({ title }) => shortened(title, 60));
    const ways = new Set(models.map(({ about }) => about.normalization));
    this.holder.replaceChildren(
      element("div", { class: "bar" }, element("h2", {}, "About")),
      element(
        "div",
        { class: "prose" },
        section(
          "What this is",
          "The last layer of a classifier has a row of weights for each class. Rows that point the same " +
            "way belong to classes that the network tells apart by the same traits. This page holds such " +
            `rows of ${plural(models.length, "model", "models")}, compared; it is one file and asks no server.`,
        ),
        section(
          "Models",
          element(
            "div",
            { class: "scrolled" },
            element(
              "table",
              { class: "plain" },
              element(
                "thead",
                {},
                element(
                  "tr",
                  {},
COLUMNS.map(heading),
                ),
              ),
              element("tbody", {}, rows),
            ),
          ),
          ...(ways.size > 1 ? [UNLIKE] : []),
        ),
        section(
          "How to read it",
          "Cosine is that of two classes' normalised rows: 1, they point the same way; 0, they have " +
            "nothing to do with each other; below 0, what speaks for one speaks against the other. " +
            "Distance is Euclidean, of the same rows.",
          "Support says how robust a neighbour is. The dimensions are drawn anew with replacement, as many " +
            `as there are; support is the share of ${counted(manifest.resamples)} such resamples (seed ` +
            `${manifest.seed}) in which the neighbour is still among the ${manifest.k} nearest. A ` +
            "neighbour with little support owes its place to a few dimensions.",
          `Trees are by ${manifest.method} linkage of ${manifest.distance} distances, with leaves in the ` +
            "order that puts like beside like. A clade has the name of the taxon " +
            `(${visible(manifest.taxonomy)}) that fits it best by F1, else that of its most central class. ` +
            "Classes of several models are the same where their concepts are.",
        ),
        leftOut.length ? section("What is left out", element("ul", {}, leftOut)) : [],
        section(
          "How to cite",
          `classrel ${manifest.version}, explorer of ${named.join(", ")}, made ${manifest.created}. The ` +
            "hashes above say which weights these are.",
          `Charts are drawn by BokehJS ${Bokeh.version}.`,
        ),
      ),
    );
  }

  changed() {}
}
