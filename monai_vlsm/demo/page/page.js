// The form: what a visitor drops and types. It is put in as text, never as HTML.
import { $, ask, say, send, trying } from "./calls.js";
import { show } from "./masks.js";

const nothing = $("name").textContent;
let file = null, before = null, sent = 0, running = null;

// An image: of several that are dropped quickly, the last one counts; one that is refused leaves that before it.
async function take(name, coming) {
  const number = ++sent;
  before ??= file;
  file = null;
  $("channels").hidden = true;
  $("name").textContent = `${name} ...`;
  $("drop").ariaBusy = "true";
  try {
    const found = await coming();
    if (number !== sent) return;
    before = found;
    $("channel").replaceChildren(new Option("as the model says, else 0", ""), ...Array.from({ length: found.channels }, (_, index) => new Option(index)));
  } catch (error) {
    if (number === sent) throw error;
  } finally {
    if (number === sent) settle();
  }
}

function settle() {
  [file, before] = [before, null];
  $("name").textContent = file ? file.name : nothing;
  $("channels").hidden = !file || file.channels === 1;
  $("drop").ariaBusy = "false";
}

async function add(one) {
  const found = await send("model", one);
  choices(found.models);
  $("model").value = found.name;
}

const dropped = (one) => trying(() => one.name.toLowerCase().endsWith(".pt") ? add(one) : take(one.name, () => send("file", one)));

function choices(names) {
  for (const [id, first] of [["model", []], ["model2", ["the same"]]]) {
    const chosen = $(id).value;
    $(id).replaceChildren(...[...first, ...names].map((name) => new Option(name)));
    if ([...first, ...names].includes(chosen)) $(id).value = chosen;
  }
}

function wanted() {
  if (!file) throw new Error($("drop").ariaBusy === "false" ? "drop an image first, or take an example" : "the file is still on its way");
  const one = { file: file.file, channel: $("channel").value, model: $("model").value, prompts: $("prompts").value };
  if (!$("compare").open) return [one];
  const prompts = $("prompts2").value.trim() ? $("prompts2").value : one.prompts;
  return [one, { ...one, model: $("model2").selectedIndex ? $("model2").value : one.model, prompts }];
}

// The same request while it runs is not sent again; of different ones the last is shown.
async function segment() {
  const asked = wanted(), name = file.name, key = JSON.stringify(asked);
  if (key === running) return;
  running = key;
  busy(true);
  try {
    const found = [];
    for (const one of asked) found.push({ ...one, name, ...(await ask("answer", one)) });
    if (key === running) await show(found);
  } catch (error) {
    if (key === running) throw error;
  } finally {
    if (key === running) { running = null; busy(false); }
  }
}

function busy(is) {
  $("go").classList.toggle("busy", is);
  $("go").textContent = is ? "Segmenting ..." : "Segment";
  if (is) $("hint").textContent = "Segmenting ...";
  else if (!$("sides").children.length) $("hint").textContent = "Masks will be here.";
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); trying(segment); });
$("ask").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit(); });
for (const id of ["file", "own"]) $(id).addEventListener("change", () => {
  const one = $(id).files[0];
  if (one) (id === "own" ? trying(() => add(one)) : dropped(one)).then(() => { $(id).value = ""; });
});
for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => {
  event.preventDefault();
  $("drop").classList.toggle("over", kind === "dragover");
  const files = kind === "drop" ? event.dataTransfer.files : [];
  if (files.length > 1) say(`${files.length} files at once; drop one, of a DICOM series one slice, or the series as NIfTI`);
  else if (files.length) dropped(files[0]);
});
trying(async () => {
  const start = await ask("start");
  choices(start.models);
  $("examples").append(...start.examples.map((name) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.addEventListener("click", () => trying(async () => {
      await take(name, () => ask("example", { name }));
      if (!$("prompts").value) $("prompts").value = "brain\nwhite matter";
      await segment();
    }));
    return button;
  }));
});
