"use strict";
// Everything that a visitor typed or named is put in as text, never as HTML.
const $ = (id) => document.getElementById(id);
let file = null, shown = [], asked = 0;

function say(text) { $("error").textContent = text; $("error").hidden = !text; }

async function call(path, body, type = "application/json") {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", body, headers: { "Content-Type": type } });
  } catch { throw new Error("the server does not answer; is it still running?"); }
  if (!answer.ok) throw new Error((await answer.text()) || "the server could not do this");
  return answer.json();
}

async function trying(work) {
  say("");
  try { await work(); } catch (error) { say(error.message); }
}

const most = 100 * 2 ** 20;
function send(path, one) {
  if (one.size > most) throw new Error(`${one.name} is larger than 100 MB, the most that this page takes`);
  return call(`${path}?name=${encodeURIComponent(one.name)}`, one, "application/octet-stream");
}

function dropped(one) {
  file = null;
  $("name").textContent = `${one.name} ...`;
  return trying(async () => {
    try { take(await send("file", one)); } catch (error) { $("name").textContent = "Drop a file here, or choose one"; throw error; }
  });
}
function take(found) { file = found.file; $("name").textContent = found.name; }

function choices(names) {
  for (const [id, first] of [["model", []], ["model2", ["the same"]]]) {
    const chosen = $(id).value;
    $(id).replaceChildren(...[...first, ...names].map((name) => new Option(name)));
    if ([...first, ...names].includes(chosen)) $(id).value = chosen;
  }
}

async function segment() {
  if (!file) throw new Error("drop an image first, or take an example");
  const [model, prompts] = [$("model").value, $("prompts").value], number = ++asked;
  const wanted = [{ file, model, prompts }];
  if ($("compare").open) {
    const second = $("model2").selectedIndex ? $("model2").value : model;
    wanted.push({ file, model: second, prompts: $("prompts2").value.trim() ? $("prompts2").value : prompts });
  }
  $("go").classList.add("busy");
  $("go").textContent = "Segmenting ...";
  try {
    const found = [];
    for (const one of wanted) found.push({ ...one, ...(await call("answer", JSON.stringify(one))) });
    if (number === asked) show(found);
  } finally {
    if (number === asked) { $("go").classList.remove("busy"); $("go").textContent = "Segment"; }
  }
}

function show(found) {
  shown = found;
  $("hint").hidden = true;
  $("controls").hidden = false;
  $("sliceLabel").hidden = found[0].slices === 1;
  $("slice").max = found[0].slices - 1;
  $("slice").value = found[0].first;
  $("sides").replaceChildren(...found.map((one) => {
    const side = $("side").content.cloneNode(true);
    side.querySelector("h2").textContent = `${$("name").textContent}, ${one.model}`;
    return side;
  }));
  return draw();
}

let drawn = 0;
async function draw() {
  const number = ++drawn, threshold = $("threshold").value, slice = $("slice").value;
  $("thresholdValue").textContent = Number(threshold).toFixed(2);
  $("sliceValue").textContent = `${Number(slice) + 1} of ${Number($("slice").max) + 1}`;
  const sides = [...$("sides").children], where = `threshold=${threshold}&slice=${slice}`;
  await trying(() => Promise.all(shown.map(async (one, index) => {
    const rows = await call(`answer/${one.answer}/rows?${where}`);
    if (number !== drawn) return;
    sides[index].querySelector("img").src = `answer/${one.answer}/picture?${where}`;
    sides[index].querySelector("a").href = `answer/${one.answer}/masks?${where}`;
    fill(sides[index], rows, one.slices > 1);
  })));
}

function fill(side, rows, volume) {
  side.querySelector(".here").textContent = volume ? "Here" : "Pixels";
  side.querySelector(".size").textContent = volume ? "Volume" : "Area";
  side.querySelector("tbody").replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr"), size = row.size === null ? "" : `${Math.round(row.size).toLocaleString("en")} ${row.unit}`;
    for (const text of [row.prompt, row.existence.toFixed(2), row.pixels.toLocaleString("en"), `${(100 * row.share).toFixed(1)} %`, size])
      line.insertCell().textContent = text;
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = row.colour;
    line.cells[0].prepend(swatch);
    return line;
  }));
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); trying(segment); });
$("file").addEventListener("change", () => $("file").files[0] && dropped($("file").files[0]));
$("own").addEventListener("change", () => $("own").files[0] && trying(async () => {
  const found = await send("model", $("own").files[0]);
  choices(found.models);
  $("model").value = found.name;
}));
for (const id of ["threshold", "slice"]) $(id).addEventListener("input", draw);
for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => {
  event.preventDefault();
  $("drop").classList.toggle("over", kind === "dragover");
  if (kind === "drop" && event.dataTransfer.files[0]) {
    const one = event.dataTransfer.files[0];
    if (one.name.endsWith(".pt")) { trying(async () => { const found = await send("model", one); choices(found.models); $("model").value = found.name; }); } else dropped(one);
  }
});
trying(async () => {
  const start = await call("start");
  choices(start.models);
  for (const name of start.examples) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => trying(async () => {
      take(await call("example", JSON.stringify({ name })));
      if (!$("prompts").value) $("prompts").value = "brain\nwhite matter";
      await segment();
    }));
    $("examples").append(button);
  }
});
