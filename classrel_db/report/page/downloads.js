// What is shown, as files: csv with the numbers in full, svg as it is drawn.

function save(name, kind, text) {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function fileName(...parts) {
  const plain = parts.join(" ").normalize("NFKD").replace(/[^A-Za-z0-9_.@-]+/g, "-");
  return plain.replace(/^[-.]+|[-.]+$/g, "").slice(0, 80) || "classrel";
}

function csvOf(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

// The two buttons of a view; `rows` and `drawing` are asked when they are pressed, and tell what is shown.
function downloadButtons(name, rows, drawing) {
  const csv = async () => save(`${fileName(...name())}.csv`, "text/csv;charset=utf-8", csvOf(rows()));
  const svg = async () => save(`${fileName(...name())}.svg`, "image/svg+xml", await drawing());
  return element(
    "span",
    { class: "downloads" },
    element("button", { type: "button", class: "quiet", onclick: csv }, "CSV"),
    element("button", { type: "button", class: "quiet", onclick: svg }, "SVG"),
  );
}
