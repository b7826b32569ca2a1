// What the page does: it expands the data that it shows (see page.py and listing.py for its form), and lights up what
// belongs together. Lists show the rows that are in sight, however long they are.
"use strict";

const ROW = 20; // pixels; the style sheet knows it as --row
const SPARE = 8; // rows that are there above and below those in sight
const KEPT = 40; // chunks that stay expanded
const MOST_FOUND = 1000; // lines that a search answers
const MEMORY_TRAP = "out of bounds memory access"; // so frequent that it is marked more quietly

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const hex = (number) => number.toString(16);
const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

// --- the data

const expand = async (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text());
};

const chunks = new Map(); // number -> promise of its functions, the latest used last

const chunk = (number) => {
  const found = chunks.get(number) ?? expand(`chunk-${number}`);
  chunks.delete(number);
  chunks.set(number, found);
  if (chunks.size > KEPT) chunks.delete(chunks.keys().next().value);
  return found;
};

const sums = (distances) => {
  let sum = 0;
  return distances.map((distance) => (sum += distance));
};

// A function as it is shown: lines of each pane, and for each line of each pane the wasm rows that it belongs to.
const read = (listing) => {
  const wasm = { lines: listing.w.split("\n"), places: sums(listing.o).map(hex), traps: new Map() };
  wasm.rows = wasm.lines.map((_, row) => [row]);
  const tiers = listing.t.map(({ m, z, r, x }) => {
    const ends = sums(z);
    const tier = { lines: m ? m.split("\n") : [], places: z.map((size, i) => hex(ends[i] - size)), traps: new Map() };
    const owners = sums(r);
    tier.rows = owners.map((row) => (row < 0 ? [] : [row]));
    for (let i = 0; i < x.length; i += 2) {
      tier.traps.set(x[i], [x[i + 1]]);
      if (owners[x[i]] < 0) continue;
      const known = wasm.traps.get(owners[x[i]]) ?? [];
      wasm.traps.set(owners[x[i]], known.includes(x[i + 1]) ? known : [...known, x[i + 1]].sort((a, b) => a - b));
    }
    return tier;
  });
  const tied = new Set(tiers.flatMap((tier) => tier.rows.flat()));
  wasm.tied = (row) => tied.has(row);
  for (const tier of tiers) tier.tied = () => true;
  return [wasm, ...tiers, ...(data.source ? [readSource(listing.d)] : [])];
};

const readSource = ({ l, n, k, s }) => {
  const source = { lines: l ? l.split("\n") : [], places: n.map((number) => number || ""), traps: new Map() };
  source.rows = source.lines.map(() => []);
  s.forEach((kind, row) => kind >= 0 && new Set(k[kind]).forEach((line) => source.rows[line].push(row)));
  source.isSource = true;
  source.tied = () => true;
  return source;
};

// --- a list that has elements for what is in sight

class List {
  constructor(box, label, draw, act) {
    Object.assign(this, { box, draw, act, length: 0, cursor: -1, made: new Map() });
    this.sheet = element("div");
    box.append(this.sheet);
    box.tabIndex = 0;
    for (const [name, value] of [["role", "listbox"], ["aria-label", label]]) box.setAttribute(name, value);
    box.addEventListener("scroll", () => this.update());
    new ResizeObserver(() => this.update()).observe(box);
    box.addEventListener("keydown", (event) => this.key(event));
    const over = (event) => Number(event.target.closest(".row")?.dataset.row ?? -1);
    box.addEventListener("mousemove", (event) => this.act("over", over(event)));
    box.addEventListener("click", (event) => over(event) >= 0 && this.choose(over(event)));
  }

  show(length) {
    this.length = length;
    this.cursor = -1;
    this.sheet.style.height = `${length * ROW}px`;
    this.box.scrollTop = this.box.scrollLeft = 0;
    this.redraw();
  }

  redraw() {
    this.made.clear();
    this.sheet.replaceChildren();
    this.update();
  }

  update() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - SPARE);
    const last = Math.min(this.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + SPARE);
    for (const [row, made] of this.made) {
      if (row < first || row >= last) {
        made.remove();
        this.made.delete(row);
      }
    }
    for (let row = first; row < last; row++) {
      if (this.made.has(row)) continue;
      const made = this.draw(row);
      made.classList.add("row");
      made.id = `${this.box.id}-${row}`;
      made.dataset.row = row;
      made.style.top = `${row * ROW}px`;
      made.setAttribute("role", "option");
      made.setAttribute("aria-setsize", this.length);
      made.setAttribute("aria-posinset", row + 1);
      this.made.set(row, made);
      this.mark(row, made);
      this.sheet.append(made);
    }
  }

  mark(row, made) {
    made.classList.toggle("cursor", row === this.cursor);
    made.setAttribute("aria-selected", row === this.cursor);
  }

  reveal(row) {
    const top = row * ROW;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop + ROW || top > scrollTop + clientHeight - 2 * ROW) {
      this.box.scrollTop = top - clientHeight / 3;
      this.update();
    }
  }

  move(row) {
    this.cursor = row;
    if (row >= 0) {
      this.reveal(row);
      this.box.setAttribute("aria-activedescendant", `${this.box.id}-${row}`);
    } else {
      this.box.removeAttribute("aria-activedescendant");
    }
    for (const [at, made] of this.made) this.mark(at, made);
  }

  choose(row) {
    this.move(row);
    this.act("choose", row);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.length, End: this.length };
    if (event.key in steps && this.length) {
      event.preventDefault();
      this.move(Math.min(this.length - 1, Math.max(0, this.cursor + steps[event.key])));
      this.act("over", this.cursor);
    } else if (event.key === "Enter" && this.cursor >= 0) {
      event.preventDefault();
      this.act("choose", this.cursor);
    }
  }
}

// --- panes: the wasm text, and the machine code of each tier

class Pane {
  constructor(id, title, explorer) {
    this.content = { lines: [], places: [], rows: [], traps: new Map(), tied: () => false };
    this.note = element("small");
    const box = element("div", { id, className: "list" });
    this.overview = element("canvas", { className: "overview" });
    this.section = element("section", { className: "pane" },
      element("h2", {}, title, this.note), element("div", { className: "body" }, box, this.overview));
    this.section.setAttribute("aria-label", title);
    this.lit = new Set();
    this.list = new List(box, title, (line) => this.draw(line), (what, line) => explorer.act(this, what, line));
    new ResizeObserver(() => this.sketch()).observe(this.overview);
    this.overview.addEventListener("click", (event) => {
      box.scrollTop = (event.offsetY / this.overview.clientHeight) * this.list.length * ROW - box.clientHeight / 2;
    });
  }

  show(content, note) {
    this.content = content;
    this.note.textContent = note;
    this.lit = new Set();
    this.list.show(content.lines.length);
    this.sketch();
  }

  draw(line) {
    const { lines, places, rows, traps, tied, isSource } = this.content;
    const [, indent, op, rest] = isSource ? [, lines[line], "", ""] : /^(\s*)(\S*)(.*)$/.exec(lines[line]);
    const text = element("span", {}, element("span", { className: "op", textContent: op }));
    text.style.paddingLeft = `${isSource ? 0 : indent.length * 0.6}ch`; // code is nested deeply, and panes are narrow
    if (isSource) text.prepend(indent);
    for (const part of rest.split(/(\b(?:0x[0-9a-f]+|\d[\d.e+-]*)\b)/)) {
      text.append(/^\d/.test(part) ? element("span", { className: "number", textContent: part }) : part);
    }
    const badges = element("span", { className: "badges" });
    const made = element("div", {}, element("span", { className: "at", textContent: places[line] }), badges, text);
    for (const code of traps.get(line) ?? []) {
      const kind = data.traps[code] === MEMORY_TRAP ? "memory" : "";
      const title = `may trap: ${data.traps[code]} (code ${code})`;
      badges.append(element("span", { className: `badge ${kind}`, textContent: code, title }));
      made.append(element("span", { className: `message ${kind}`, textContent: data.traps[code] }));
    }
    const row = rows[line].find((each) => each > 0 && tied(each));
    if (row !== undefined) {
      made.classList.add("tied");
      // The golden angle: neighbours differ, and no two are the same for long.
      made.style.setProperty("--hue", Math.round((row * 137.508) % 360));
    }
    if (this.isLit(line)) made.classList.add("lit");
    if (isSource && !places[line]) made.classList.add("heading");
    return made;
  }

  light(rows) {
    this.lit = rows;
    for (const [line, made] of this.list.made) made.classList.toggle("lit", this.isLit(line));
    this.sketch();
  }

  isLit(line) {
    return this.content.rows[line].some((row) => this.lit.has(row));
  }

  lines(rows) {
    return this.content.rows.flatMap((of, line) => (of.some((row) => rows.has(row)) ? [line] : []));
  }

  // Beside the list: where traps are, and what is lit.
  sketch() {
    const { clientWidth: width, clientHeight: height } = this.overview;
    Object.assign(this.overview, { width, height });
    const pen = this.overview.getContext("2d");
    const style = getComputedStyle(this.overview);
    const scale = Math.min(ROW, height / Math.max(1, this.list.length));
    const stroke = (lines, colour, inset) => {
      pen.fillStyle = style.getPropertyValue(colour);
      for (const line of lines) pen.fillRect(inset, line * scale, width - inset, Math.max(2, scale));
    };
    const traps = [...this.content.traps].filter(([, codes]) => codes.some((code) => data.traps[code] !== MEMORY_TRAP));
    stroke(traps.map(([line]) => line), "--trap", width / 2);
    stroke(this.lines(this.lit), "--accent", 0);
  }
}

// --- what is found: functions by name, and lines

let data = null;

class Explorer {
  async start() {
    data = await expand("index");
    const native = data.tiers.map((tier, i) => new Pane(`native-${i}`, `machine code, ${tier}`, this));
    const source = data.source ? [new Pane("source", "source", this)] : [];
    this.panes = [new Pane("wasm", "wasm", this), ...native, ...source];
    document.getElementById("panes").append(...[...new Set([...source, ...this.panes])].map((pane) => pane.section));
    const traps = data.functions.reduce((sum, { x }) => sum + x[0], 0);
    document.getElementById("summary").textContent =
      `${count(data.functions.length, "function")} · ${count(data.size, "byte")} of wasm · ` +
      `${count(traps, "trap site")} (${data.tiers[0]})${data.note && ` · ${data.note}`}`;
    this.search = document.getElementById("search");
    this.entries = [];
    this.functions = new List(document.getElementById("functions"), "functions and lines found",
      (row) => this.drawEntry(this.entries[row]), (what, row) => what === "choose" && this.open(this.entries[row]));
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.functions.box.focus();
    });
    document.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.panes.forEach((p) => p.sketch()));
    window.addEventListener("hashchange", () => this.follow());
    await this.find();
    if (!(await this.follow()) && data.functions.length) await this.open({ f: 0 });
    document.body.dataset.ready = "yes";
  }

  // The address says what is shown: #f=INDEX&o=OFFSET, a function and a place in the module (hexadecimal).
  async follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const f = data.functions.findIndex(({ i }) => String(i) === wanted.get("f"));
    if (f < 0) return false;
    if (f !== this.shown) await this.open({ f });
    const line = this.panes[0].content.places.indexOf(wanted.get("o"), 1);
    if (line > 0 && line !== this.panes[0].list.cursor) this.panes[0].list.choose(line);
    return true;
  }

  name({ i, n }) {
    return n ?? `func[${i}]`;
  }

  drawEntry({ f, text }) {
    const fn = data.functions[f];
    const made = element("div", { title: `${this.name(fn)} ${fn.t}` },
      element("span", { className: "at", textContent: fn.i }));
    if (text === undefined) {
      made.append(element("span", { className: "name", textContent: this.name(fn) }),
        element("span", { className: "size", textContent: fn.m[0] }));
    } else {
      made.append(element("span", { className: "code", textContent: text.trim() }));
    }
    made.classList.toggle("shown", f === this.shown);
    return made;
  }

  async find() {
    const query = this.search.value.trim().toLowerCase();
    this.query = query;
    const entries = data.functions.map((_, f) => ({ f })).filter(({ f }) => {
      const fn = data.functions[f];
      return !query || String(fn.i) === query || this.name(fn).toLowerCase().includes(query);
    });
    const functions = entries.length;
    const say = (lines, more) => {
      this.entries = entries;
      this.functions.show(entries.length);
      document.getElementById("found").textContent = query
        ? `${count(functions, "function")}, ${more ? "at least " : ""}${count(lines, "line")}` : count(functions, "function");
    };
    say(0, query.length > 1);
    if (query.length < 2) return;
    let lines = 0;
    for (let f = 0; f < data.functions.length && lines < MOST_FOUND; f++) {
      const fn = data.functions[f];
      const listing = (await chunk(fn.c))[fn.p];
      if (this.query !== query) return; // there is a newer one
      [listing.w, ...listing.t.map((tier) => tier.m)].forEach((text, pane) => {
        if (!text.toLowerCase().includes(query)) return;
        text.split("\n").forEach((line, at) => {
          if (lines < MOST_FOUND && line.toLowerCase().includes(query)) {
            entries.push({ f, pane, line: at, text: line });
            lines++;
          }
        });
      });
    }
    say(lines, lines === MOST_FOUND);
  }

  async open({ f, pane = 0, line = -1 }) {
    if (f !== this.shown) {
      const fn = data.functions[f];
      const listing = (await chunk(fn.c))[fn.p];
      this.shown = f;
      const notes = [`${this.name(fn)} ${fn.t}, ${count(fn.w, "byte")}`];
      listing.t.forEach((tier, i) => notes.push(`${count(tier.z.length, "instruction")}, ${count(fn.m[i], "byte")}`));
      read(listing).forEach((content, i) => this.panes[i].show(content, notes[i] ?? ""));
      this.functions.redraw();
      this.pinned = [];
      this.lit = "";
      history.replaceState(null, "", `#f=${fn.i}`);
      document.getElementById("status").textContent = `function ${fn.i}: ${this.name(fn)}`;
    }
    if (line >= 0) this.panes[pane].list.choose(line);
  }

  act(pane, what, line) {
    const rows = new Set(line < 0 ? this.pinned : pane.content.rows[line]);
    const [row = -1] = rows;
    if (what === "choose") {
      this.pinned = rows;
      for (const other of this.panes) {
        if (other === pane) continue;
        const [first] = other.lines(rows);
        other.list.move(-1);
        if (first !== undefined) other.list.reveal(first);
      }
      const fn = data.functions[this.shown];
      if (row >= 0) history.replaceState(null, "", `#f=${fn.i}&o=${this.panes[0].content.places[row]}`);
    }
    const lit = [...rows].join();
    if (lit === this.lit && what === "over") return;
    this.lit = lit;
    for (const each of this.panes) each.light(rows);
    this.describe(row);
  }

  describe(row) {
    const wasm = this.panes[0];
    if (row < 0) return;
    const parts = [`${wasm.content.places[row]}: ${wasm.content.lines[row].trim()}`];
    data.tiers.forEach((tier, i) => {
      const lines = this.panes[i + 1].lines(new Set([row]));
      parts.push(`${count(lines.length, "instruction")} (${tier})`);
    });
    for (const code of wasm.content.traps.get(row) ?? []) parts.push(`may trap: ${data.traps[code]} (code ${code})`);
    document.getElementById("status").textContent = parts.join(" · ");
  }

  key(event) {
    if (event.target === this.search) {
      if (event.key === "Escape") this.search.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { "]": 1, "[": -1 };
    if (event.key === "/") {
      event.preventDefault();
      this.search.focus();
      this.search.select();
    } else if (event.key in steps) {
      const f = this.shown + steps[event.key];
      if (data.functions[f]) this.open({ f });
    } else if (event.key === "t") {
      const pane = this.panes.find(({ list }) => list.box === document.activeElement) ?? this.panes[1];
      const lines = [...pane.content.traps.keys()].sort((a, b) => a - b);
      const next = lines.find((line) => line > pane.list.cursor) ?? lines[0];
      if (next !== undefined) pane.list.choose(next);
    }
  }
}

new Explorer().start();
