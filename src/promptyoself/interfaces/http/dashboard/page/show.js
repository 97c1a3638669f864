// Making elements. Whatever comes from the service goes in as text: nothing here reads HTML.

export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    made.append(child instanceof Node ? child : String(child));
  }
  return made;
}

const TONES = {
  active: "good", delivered: "good", ok: "good", accepted: "good", paused: "warn", pending: "", leased: "warn", unknown: "warn",
  warn: "warn", dead: "bad", fail: "bad", failed: "bad", final: "bad", refused: "warn", busy: "warn",
};
export const pill = (word) => h("span", { class: `pill ${TONES[word] || ""}` }, word);

/** An instant as its schedule's own clock shows it: the text carries the zone's offset. */
export function clock(text) {
  if (!text) return "–";
  const [day, time] = text.split("T");
  const seconds = time.slice(6, 8) === "00" ? "" : time.slice(5, 8);
  return `${day} ${time.slice(0, 5)}${seconds}`;
}

/** An instant as this browser's clock shows it: for lists that mix the zones of many schedules. */
export function local(text) {
  const at = new Date(text);
  const two = (number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function away(text, now = Date.now()) {
  const minutes = Math.round((Date.parse(text) - now) / 60000);
  const size = Math.abs(minutes);
  const said = size < 1 ? "under a minute" : size < 90 ? `${size} min` : size < 2160 ? `${Math.round(size / 60)} h` : `${Math.round(size / 1440)} days`;
  return minutes < 0 ? `${said} ago` : `in ${said}`;
}

export const excerpt = (text, most = 70) => {
  const plain = (text || "").replace(/\s+/g, " ").trim();
  return plain.length > most ? `${plain.slice(0, most)}…` : plain;
};

export const comes = (one) => [one.snoozed_until, one.next_run].filter(Boolean).sort((a, b) => Date.parse(a) - Date.parse(b))[0];

export function field(name, label, control, hint) {
  control.id = `field-${name}`;
  control.name = name;
  if (hint) control.setAttribute("aria-describedby", `hint-${name}`);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control,
    hint && h("span", { class: "soft", id: `hint-${name}` }, hint));
}

export function choose(options, value) {
  const made = h("select", {}, options.map(([key, text]) => h("option", { value: key }, text)));
  made.value = value ?? options[0][0];
  return made;
}

/** Put a new view in place of the old; whoever had the focus keeps it, if it is still there. */
export function replace(place, ...children) {
  const key = document.activeElement?.dataset?.key;
  const inside = place.contains(document.activeElement);
  place.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (inside && key) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

export function notice(text, tone = "bad") {
  const place = document.getElementById("notice");
  place.hidden = !text;
  place.className = `notice ${tone}`;
  place.textContent = text || "";
}

/** Ask before what cannot be undone. */
export function confirmed(title, text, yes) {
  const dialog = document.getElementById("ask");
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-text").textContent = text;
  document.getElementById("ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((tell) => dialog.addEventListener("close", () => tell(dialog.returnValue === "yes"), { once: true }));
}

/** A button that carries something out, says what came of it, and cannot be pressed twice meanwhile. */
export function action(text, act, { key, tone = "quiet", label } = {}) {
  return h("button", {
    type: "button", class: tone, "data-key": key, "aria-label": label,
    onclick: async (event) => {
      const button = event.currentTarget;
      button.disabled = true;
      try {
        const told = await act();
        if (told) notice(told, "good");
      } catch (error) {
        notice(error.message);
      } finally {
        button.disabled = false;
      }
    },
  }, text);
}
