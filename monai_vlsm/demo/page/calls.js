// The server, and what went wrong with it.
export const $ = (id) => document.getElementById(id);
const most = 100 * 2 ** 20;

export function say(text) { $("error").textContent = text; $("error").hidden = !text; }

export async function trying(work) {
  say("");
  try { await work(); } catch (error) { say(error.message); }
}

export async function call(path, body, type = "application/json") {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", body, headers: { "Content-Type": type } });
  } catch { throw new Error("the server does not answer; is it still running?"); }
  if (!answer.ok) throw new Error((await answer.text()) || "the server could not do this");
  return answer;
}

export const ask = async (path, body) => (await call(path, body === undefined ? body : JSON.stringify(body))).json();

export async function send(path, one) {
  if (one.size > most) throw new Error(`${one.name} is larger than 100 MB, the most that this page takes`);
  return (await call(`${path}?name=${encodeURIComponent(one.name)}`, one, "application/octet-stream")).json();
}
