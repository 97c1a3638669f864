// The journal as it is written. EventSource cannot send a token, so the stream is read with fetch; the last id goes along at
// each return, so that no event is missed or comes twice.

import { headers } from "./api.js";

const WAIT_MS = [500, 1000, 2000, 4000];

/** `last` is the id after which to begin. Answers with what ends it. */
export function follow({ last, onEvent, onState }) {
  let failures = 0;
  let stopped = false;
  let aborter = new AbortController();

  async function run() {
    while (!stopped) {
      aborter = new AbortController();
      try {
        const answer = await fetch("api/v1/events", {
          headers: headers({ "Last-Event-ID": String(last) }), signal: aborter.signal, cache: "no-store",
        });
        if (answer.status === 401 || answer.status === 403) { onState("refused"); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        onState("live");
        failures = 0;
        await read(answer.body);
      } catch { /* a stream that ends is taken up again */ }
      if (stopped) return;
      onState("away");
      await new Promise((go) => setTimeout(go, WAIT_MS[Math.min(failures++, WAIT_MS.length - 1)]));
    }
  }

  async function read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) take(block);
    }
  }

  function take(block) {
    let name = "message";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("id: ")) last = line.slice(4);
      else if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (data) onEvent(name, JSON.parse(data));
  }

  run();
  return () => { stopped = true; aborter.abort(); };
}
