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

// A button for one table; `rows` are asked for when it is pressed, and tell what is shown.
function csvButton(text, name, rows) {
  const csv = () => save(`${fileName(...name())}.csv`, "text/csv;charset=utf-8", csvOf(rows()));
  return element("button", { type: "button", class: "quiet", onclick: csv }, text);
}

// The two buttons of a view.
function downloadButtons(name, rows, drawing) {
  const svg = async () => save(`${fileName(...name())}.svg`, "image/svg+xml", await drawing());
  return element(
    "span",
    { class: "downloads" },
    csvButton("CSV", name, rows),
    element("button", { type: "button", class: "quiet", onclick: svg }, "SVG"),
  );
}
