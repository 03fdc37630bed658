// Masks side by side. What a visitor typed or named is put in as text, never as HTML.
import { $, ask, call, trying } from "./calls.js";

let shown = [];

export function show(found) {
  shown = found;
  $("controls").hidden = $("words").hidden = false;
  $("sliceLabel").hidden = found[0].slices === 1;
  $("slice").max = found[0].slices - 1;
  $("slice").value = found[0].first;
  $("sides").replaceChildren(...found.map((one) => {
    const side = $("side").content.cloneNode(true), link = side.querySelector("a");
    side.querySelector("h2").textContent = [one.name, ...(one.channel === null ? [] : [`volume ${one.channel}`]), one.model].join(", ");
    link.addEventListener("click", (event) => { event.preventDefault(); trying(() => download(link)); });
    link.download = `${one.name}_masks.zip`;
    return side;
  }));
  $("hint").className = "read";
  $("hint").textContent = `Masks in ${found.map((one) => one.name).join(" and ")}`;
  if (matchMedia("(max-width: 800px)").matches) $("results").scrollIntoView();
  values();
  return draw();
}

// While one state of the sliders is drawn, the others wait, and of those that waited the last is drawn.
let drawing = null, again = false;
function draw() {
  again = true;
  return drawing ??= drawAll().finally(() => { drawing = null; $("results").ariaBusy = "false"; });
}

async function drawAll() {
  $("results").ariaBusy = "true";
  while (again) { again = false; await drawOnce(); }
}

async function drawOnce() {
  const [threshold, opacity, slice] = ["threshold", "opacity", "slice"].map((id) => $(id).value);
  const sides = [...$("sides").children], where = `threshold=${threshold}&slice=${slice}`;
  await Promise.all(shown.map(async (one, index) => {
    const rows = await ask(`answer/${one.answer}/rows?${where}`), image = sides[index].querySelector("img");
    image.src = `answer/${one.answer}/overlay?${where}&opacity=${opacity}`;
    image.alt = `${one.name} with masks of ${rows.map((row) => row.prompt).join(", ")}`;
    sides[index].querySelector("a").href = `answer/${one.answer}/masks?${where}`;
    fill(sides[index], rows, one.slices > 1);
    await image.decode().catch(() => { throw new Error("the image did not arrive; press Segment again"); });
  }));
}

function values() {
  for (const id of ["threshold", "opacity"]) $(`${id}Value`).textContent = Number($(id).value).toFixed(2);
  $("sliceValue").textContent = `${Number($("slice").value) + 1} of ${Number($("slice").max) + 1}`;
}

function fill(side, rows, volume) {
  side.querySelector("table").classList.toggle("sizeless", rows.every((row) => row.size === null));
  side.querySelector(".here").textContent = volume ? "Pixels here" : "Pixels";
  side.querySelector(".size").textContent = volume ? "Volume" : "Area";
  side.querySelector("tbody").replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr"), size = row.size === null ? "" : `${Math.round(row.size).toLocaleString("en")} ${row.unit}`;
    line.role = "row";
    for (const text of [row.prompt, row.existence.toFixed(2), row.pixels.toLocaleString("en"), `${(100 * row.share).toFixed(1)} %`, size])
      Object.assign(line.insertCell(), { role: "cell", textContent: text });
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = row.colour;
    line.cells[0].prepend(swatch);
    if (row.cut) line.cells[0].append(Object.assign(document.createElement("small"), { textContent: ` (${row.cut})` }));
    return line;
  }));
}

async function download(link) {
  const packed = URL.createObjectURL(await (await call(link.href)).blob());
  const own = Object.assign(document.createElement("a"), { href: packed, download: link.download });
  own.click();
  setTimeout(() => URL.revokeObjectURL(packed), 60_000);
}

for (const id of ["threshold", "opacity", "slice"]) $(id).addEventListener("input", () => { values(); trying(draw); });
