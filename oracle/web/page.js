// The operator's page. Text from outside only ever becomes text, never markup.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const short = (hex) => (hex && hex.length > 14 ? hex.slice(0, 10) + "…" : hex || "");
const ago = (ms) => {
  if (!ms) return "never";
  const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
  return s < 90 ? s + " s ago" : s < 5400 ? Math.round(s / 60) + " min ago" : new Date(ms).toLocaleString();
};

function element(name, content, kind) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  for (const part of [].concat(content ?? [])) made.append(part);
  return made;
}

function row(cells) {
  return element("tr", cells.map((cell) => (cell instanceof Node && cell.tagName === "TD" ? cell : element("td", cell))));
}

function fill(table, rows, none) {
  const body = $(table).tBodies[0];
  const width = $(table).tHead.rows[0].cells.length;
  if (!rows.length) {
    const cell = element("td", none, "quiet");
    cell.colSpan = width;
    rows = [element("tr", cell)];
  }
  body.replaceChildren(...rows);
}

const stageOf = (job) => (typeof job.stage === "string" ? job.stage : Object.keys(job.stage)[0]);
const kinds = { final: "good", abandoned: "bad" };

function show(state) {
  const wei = state.gas ? BigInt(state.gas.wei) : null;
  const facts = [
    ["Newest block", state.head ? state.head.number : "none yet"],
    ["Taken in up to", state.cursor ? state.cursor.number : "nothing yet"],
    ["Open jobs", state.open],
    ["Queue", state.outbox.length],
    ["Quorum", state.quorum ?? "not asked yet"],
    ["Gas account", state.gas ? short(state.gas.account) + ": " + (Number(wei / 10n ** 12n) / 1e6).toFixed(4) + " ETH" : "unknown"],
    ["Chain", state.market ? state.market.chain_id : ""],
    ["Escrow", state.market ? short(state.market.escrow) : ""],
  ];
  $("state").replaceChildren(...facts.map(([name, value]) => element("div", [element("dt", name), element("dd", String(value))])));

  const own = state.operators.map((address) => row([element("code", short(address)), "this daemon", element("td", "signs", "good")]));
  const peers = state.peers.map((peer) =>
    row([peer.url, ago(peer.answered_at_ms), element("td", peer.trouble || "answers", peer.trouble ? "bad" : "good")]));
  fill("peers", own.concat(peers), "none");
  $("equivocations").replaceChildren(...state.equivocations.map((proof) =>
    element("p", `${proof.first.signer} signed two verdicts about order ${short(proof.job.order)}: see /v1/equivocations`, "bad")));

  fill("outbox", state.outbox.map((entry) =>
    row([element("code", short(entry.job)), entry.nonce ?? "not sent", entry.replacements ?? 0, ago(entry.since)].map((c) => (c instanceof Node ? c : String(c))))), "empty");

  fill("jobs", state.jobs.map((job) => {
    const stage = stageOf(job);
    const verdict = job.verdict;
    let said = "";
    if (verdict) {
      said = element("button", verdict.reason === 0 ? "accepted" : "rejected, reason " + verdict.reason, verdict.reason === 0 ? "good" : "bad");
      said.type = "button";
      said.addEventListener("click", () => explain(verdict.digest));
    }
    const agree = job.operators.filter((one) => verdict && one.digest === verdict.digest).length;
    const others = job.operators.length - agree;
    const latency = job.mined ? (job.mined.latency_ms / 1000).toFixed(2) + " s" : "";
    const trouble = stage === "abandoned" ? job.stage.abandoned.why : job.trouble ? job.trouble.detail : "";
    return row([
      element("code", short(job.id.order)),
      job.id.phase,
      element("td", stage, kinds[stage] || "wait"),
      element("td", said),
      element("td", agree + (others ? `, ${others} say otherwise` : ""), others ? "bad" : ""),
      latency,
      element("td", trouble, "quiet"),
    ]);
  }), "none yet");
}

function draw(chains, checks) {
  // What failed says where: "gpus[0].chain…" names a device, and often a certificate.
  const failed = checks.filter((check) => check.outcome === "failed").map((check) => check.field);
  const touched = (device) => failed.some((field) => field === device || field.startsWith(device + "."));
  const W = 165, H = 62, GAP = 24, TOP = 26;
  const longest = Math.max(1, ...chains.map((chain) => chain.certificates.length));
  const svg = document.createElementNS(SVG, "svg");
  const width = 80 + (longest + 1) * (W + GAP);
  svg.setAttribute("width", width);
  svg.setAttribute("height", chains.length * (H + TOP) + 12);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "certificate chains of each device, the report on the left, its root on the right");
  const node = (name, attributes, text, parent = svg) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const marker = node("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, undefined, node("defs", {}));
  node("path", { d: "M0 0 L8 4 L0 8 z", fill: "currentColor" }, undefined, marker);
  const clip = (text, n) => (text.length > n ? text.slice(0, n - 1) + "…" : text);
  chains.forEach((chain, line) => {
    const y = 10 + line * (H + TOP);
    node("text", { x: 0, y: y + H / 2 + 4 }, chain.device);
    const broken = failed.some((field) => field.startsWith(chain.device + ".chain"));
    const bad = touched(chain.device) && !broken;
    const reached = checks.some((check) => check.field.startsWith(chain.device + "."));
    const said = bad ? ["refused", "failed"] : reached && !broken ? ["signed by the leaf", ""] : ["not reached", "unknown"];
    const boxes = [{ title: "report", lines: [said[0]], kind: said[1] }];
    chain.certificates.forEach((one) => {
      if (one.error) boxes.push({ title: "unreadable", lines: [one.error], kind: "failed" });
      else {
        boxes.push({
          title: one.subject || "no name",
          lines: ["by " + (one.issuer || "nobody"), one.key + ", to " + one.notAfter.slice(0, 10)],
          kind: broken || !one.valid ? "failed" : reached ? "" : "unknown",
        });
      }
    });
    boxes.forEach((box, i) => {
      const x = 80 + i * (W + GAP);
      const group = node("g", { class: box.kind });
      node("title", {}, [box.title, ...box.lines].join("\n"), group);
      node("rect", { x, y, width: W, height: H, rx: 6 }, undefined, group);
      node("text", { x: x + 10, y: y + 20 }, clip(box.title, 23), group);
      box.lines.forEach((text, n) => node("text", { x: x + 10, y: y + 37 + 15 * n, class: "small" }, clip(text, 30), group));
      if (i) node("line", { x1: x, y1: y + H / 2, x2: x - GAP + 1, y2: y + H / 2 });
    });
  });
  $("chains").replaceChildren(svg);
}

async function explain(digest) {
  $("evidence").hidden = false;
  history.replaceState(null, "", location.search + "#" + digest);
  $("summary").textContent = "verifying again…";
  const answer = await fetch("/v1/explanations/" + digest);
  const body = await answer.json();
  if (!answer.ok) {
    $("summary").textContent = body.error.message;
    $("chains").replaceChildren();
    fill("checks", [], "none");
    return;
  }
  const count = (outcome) => body.checks.filter((check) => check.outcome === outcome).length;
  const failed = body.checks.filter((check) => check.outcome === "failed");
  $("summary").replaceChildren(
    element("strong", body.reason.code === 0 ? "accepted" : `${body.reason.code} ${body.reason.name}`, body.reason.code === 0 ? "good" : "bad"),
    ` — ${body.detail}. ${count("passed")} checks passed, ${failed.length} failed, ${count("not checked")} not made; at ${body.at}.`);
  draw(body.chains, body.checks);
  const signs = { passed: ["✓", "good"], failed: ["✗", "bad"], "not checked": ["–", "quiet"] };
  // What failed comes first.
  const ordered = failed.concat(body.checks.filter((check) => check.outcome !== "failed"));
  fill("checks", ordered.map((check) => {
    const [sign, kind] = signs[check.outcome];
    return row([element("td", sign, kind), element("code", check.field), check.expected, check.found, element("td", check.source, "quiet")]);
  }), "none");
  $("evidence").scrollIntoView();
}

function listen() {
  const events = new EventSource("/v1/events");
  events.addEventListener("open", () => { $("live").textContent = "live"; $("live").className = "good"; });
  events.addEventListener("state", (event) => show(JSON.parse(event.data)));
  events.addEventListener("error", () => { $("live").textContent = "not connected, trying again"; $("live").className = "bad"; });
}

// `/?once` is for printing: what is shown does not change any more.
if (new URLSearchParams(location.search).has("once")) {
  fetch("/v1/state").then((answer) => answer.json()).then(show);
  $("live").textContent = "as of " + new Date().toLocaleString();
} else {
  listen();
}
// A verdict can be linked to: /#0x…
if (/^#0x[0-9a-f]{64}$/.test(location.hash)) explain(location.hash.slice(1));
