// The administrator's page: what the service answers through its API, as tables; and what an administrator does most.  Text from the
// service goes into text nodes only.
"use strict";

const LOG_LINES = 50;
const $ = (id) => document.getElementById(id);

class Refused extends Error {}

async function ask(method, path, body) {
  const options = { method, cache: "no-store", credentials: "same-origin", redirect: "error" };
  if (method === "POST") {
    options.headers = { "Content-Type": "application/json" };
    options.body = body ? JSON.stringify(body) : "";
  }
  let response, answer;
  try {
    response = await fetch("/v1/" + path, options);
    answer = await response.json();
  } catch {
    throw new Refused("The service does not answer.");
  }
  if (!response.ok) throw new Refused(`The service says: ${answer.error ? answer.error.message : response.status}.`);
  return answer;
}

// --- building

function make(tag, content, attributes = {}) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...(Array.isArray(content) ? content : [content]));
  return e;
}

function row(...cells) {
  return make("tr", cells.map((c, i) => make(i ? "td" : "th", c, i ? {} : { scope: "row" })));
}

function fill(table, rows, none) {
  const body = $(table).tBodies[0];
  const columns = $(table).tHead.rows[0].cells.length;
  body.replaceChildren(...(rows.length ? rows : [make("tr", make("td", none, { colspan: columns }))]));
}

function button(label, about, act) {
  const b = make("button", label, { type: "button", "aria-label": `${label} ${about}` });
  b.addEventListener("click", act);
  return b;
}

const time = (text) => (text ? make("time", text.replace("T", " ").replace("Z", " UTC"), { datetime: text }) : "");
const grouped = (hex) => make("code", hex.replace(/.{8}(?=.)/g, "$& "));

// --- asking before doing

let decide = null;

function confirmed(title, text, yes, withRole) {
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  $("confirm-role").hidden = !withRole;
  $("role").value = "client";
  $("confirm").showModal();
  $("confirm-no").focus();
  return new Promise((resolve) => { decide = resolve; });
}

function decided(yes) {
  if ($("confirm").open) $("confirm").close();
  if (decide) decide(yes ? { role: $("role").value } : null);
  decide = null;
}

async function change(question, path, body, done) {
  const answer = await confirmed(...question);
  if (!answer) return;
  $("message").textContent = "";
  $("failure").textContent = "";
  try {
    await ask("POST", path, body ? body(answer) : null);
    await load();
    $("message").textContent = done;
    $("message").focus();
  } catch (e) {
    fail(e);
  }
}

function fail(e) {
  if (!(e instanceof Refused)) console.error(e);
  $("failure").textContent = e instanceof Refused ? e.message : "This page has failed.";
}

// --- the tables

function pendingRow(c) {
  const path = "clients/" + c.fingerprint;
  const accept = ["Accept " + c.name + "?", "Only if the host itself says that its fingerprint is " + grouped(c.fingerprint).textContent + ".",
    "Accept", true];
  const refuse = ["Refuse " + c.name + "?", "This key can never be accepted again; the host would need another one.", "Refuse", false];
  return row(c.name, grouped(c.fingerprint), time(c.since), [
    button("Accept", c.name, () => change(accept, path + "/accept", (a) => ({ role: a.role }), c.name + " is accepted.")),
    button("Refuse", c.name, () => change(refuse, path + "/revoke", null, c.name + " is refused.")),
  ]);
}

function nextRotation(k) {
  if (k.state !== "enabled" && k.state !== "disabled") return "none";
  if (!k.auto_rotate_days) return "by hand";
  return time(new Date(Date.parse(k.rotated) + k.auto_rotate_days * 86400000).toISOString().slice(0, 19) + "Z");
}

function keyActions(k) {
  const path = "keys/" + encodeURIComponent(k.name) + "/", about = "key " + k.name;
  const enable = ["Enable " + about + "?", "Whoever it is granted to can use it again.", "Enable", false];
  const disable = ["Disable " + about + "?", "At the next request nobody can wrap or unwrap with it, until it is enabled again. Mounts that ask for "
    + "their lease may lock.", "Disable", false];
  const rotate = ["Rotate " + about + "?", "It gets a new version, which wraps from now on; older versions still unwrap.", "Rotate", false];
  const all = [];
  if (k.state === "disabled") all.push(button("Enable", about, () => change(enable, path + "enable", null, about + " is enabled.")));
  if (k.state === "enabled") all.push(button("Disable", about, () => change(disable, path + "disable", null, about + " is disabled.")));
  if (k.state === "enabled" || k.state === "disabled")
    all.push(button("Rotate", about, () => change(rotate, path + "rotate", null, about + " has a new version.")));
  return all;
}

function keyRow(k) {
  const ends = k.state === "deleted" ? [", purged at ", time(k.purge_at)] : [];
  const state = make("span", [k.state, ...ends], k.state === "enabled" ? {} : { class: "warn" });
  return row(k.name, state, String(k.latest), String(k.min_decryption_version), time(k.rotated), nextRotation(k), keyActions(k));
}

// A volume tells its version with its lease, so one that nobody has mounted since the service started is not known.
async function oldVolumes(keys) {
  const rows = [];
  const hasPolicy = (k) => k.volumes_rotate_every || k.volumes_rotate_after || k.volumes_keep;
  for (const k of keys.filter((x) => (x.latest > 1 || hasPolicy(x)) && x.state !== "purged")) {
    const { volumes } = await ask("GET", "keys/" + encodeURIComponent(k.name) + "/volumes");
    for (const v of volumes.filter((x) => (k.latest > 1 && !x.version) || x.version < k.latest || x.behind)) {
      const policy = !hasPolicy(k) ? "none" : !("behind" in v) ? "not known" : v.behind ? "behind" : "met";
      rows.push(row(make("code", v.volume), k.name, v.version ? `${v.version} of ${k.latest}` : "not known", policy,
        v.seen ? time(v.seen) : "not since the start"));
    }
  }
  return rows;
}

const OWN_COLUMNS = new Set(["n", "at", "event", "name", "client", "mac", "rows", "uid", "user", "host", "command", "pid", "process"]);

function logRow(l) {
  const about = Object.entries(l).filter(([name]) => !OWN_COLUMNS.has(name));
  return row(String(l.n), time(l.at), l.event, l.name || (l.client ? l.client.slice(0, 16) : "the service"),
    about.map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", "));
}

function showBackup(s) {
  const b = s.last_backup;
  $("backup").replaceChildren(...(b ? [time(b.at), `: ${b.file}, ${b.lines} lines of the log`] : ["None was made by the service itself."]));
  if (s.backup_failing) $("backup").append(" ", make("span", "The last attempt failed; the log says why.", { class: "warn" }));
}

async function load() {
  const self = await ask("GET", "self");
  $("who").textContent = `${location.host}, as ${self.name} (${self.role})`;
  const [clients, keys, status] = await Promise.all([ask("GET", "clients"), ask("GET", "keys"), ask("GET", "status")]);
  const sorted = keys.keys.sort((a, b) => (a.name < b.name ? -1 : 1));
  fill("pending", clients.clients.filter((c) => c.state === "pending").map(pendingRow), "Nobody waits.");
  fill("keys", sorted.map(keyRow), "There are no keys yet.");
  showBackup(status);
  fill("volumes", await oldVolumes(sorted), "None that is known.");
  const log = await ask("GET", "audit/" + Math.max(1, status.log_last - LOG_LINES + 1));
  fill("log", log.lines.slice(-LOG_LINES).reverse().map(logRow), "It is empty.");
}

async function reload() {
  $("failure").textContent = "";
  $("message").textContent = "";
  try {
    await load();
    $("message").textContent = "Loaded.";
  } catch (e) {
    fail(e);
  }
}

$("reload").addEventListener("click", reload);
$("confirm-yes").addEventListener("click", () => decided(true));
$("confirm-no").addEventListener("click", () => decided(false));
$("confirm").addEventListener("cancel", () => decided(false));
// It is told late, when the next question may be open already.
$("confirm").addEventListener("close", () => { if (!$("confirm").open) decided(false); });
reload();
