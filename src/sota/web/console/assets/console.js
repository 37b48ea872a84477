// Keeps the overview up to date by asking the API that every other client uses. The page is whole without it.
// Every text that comes from the server is set as text, never as markup.
"use strict";

const PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 30000;

/** Make an element: its classes, and its children as elements or text. */
function make(tag, classes, ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children);
  return element;
}

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, credentials: "same-origin" });
  if (answer.status === 401) {
    location.reload(); // the session is over: the page itself knows the way to the login page
    return new Promise(() => {});
  }
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function moment(text) {
  return `${text.slice(0, 10)} ${text.slice(11, 16)} UTC`;
}

function words(text) {
  return text.replaceAll("_", " ");
}

function bar(value, max, label) {
  const progress = make("progress", "", label);
  progress.max = max;
  progress.value = value;
  return progress;
}

function cell(...children) {
  return make("td", "", ...children);
}

function heading(classes, text, sub) {
  const element = make("th", classes, text);
  element.scope = "row";
  if (sub) element.append(make("span", "sub", sub));
  return element;
}

function requestRow(request) {
  const states = ["pending", "in_flight", "installed", "failed", "cancelled"];
  const counts = request.counts;
  const all = states.reduce((sum, state) => sum + counts[state], 0);
  const done = `${counts.installed} of ${all}`;
  const badges = states
    .filter((state) => counts[state] > 0)
    .flatMap((state) => [make("span", `badge ${state}`, `${counts[state]} ${words(state)}`), " "]);
  return make(
    "tr",
    "",
    heading("", `${request.package.name}/${request.package.version}`, request.name),
    cell(bar(counts.installed, all || 1, done), make("span", "sub", `${done} installed`)),
    cell(...badges),
    make("td", "number", String(request.priority)),
    cell(moment(request.interval.start), make("span", "sub", `to ${moment(request.interval.end)}`)),
  );
}

function updateState(update) {
  if (update.status === "in_flight" && update.stage) return update.stage;
  return update.reason ? `${update.status}: ${words(update.reason)}` : words(update.status);
}

function updateCell(update) {
  if (!update) return cell(make("span", "none", "none"));
  const children = [
    make("span", `badge ${update.status}`, updateState(update)),
    make("span", "sub", `${update.package.name}/${update.package.version}`),
  ];
  if (update.status === "in_flight") {
    const percent = update.size ? Math.min(99, Math.floor((update.acknowledged * 100) / update.size)) : 0;
    children.push(bar(percent, 100, `${percent} %`));
  }
  return cell(...children);
}

function vehicleRow(vehicle) {
  const packages = vehicle.packages.map((item) => make("li", "", `${item.name}/${item.version}`));
  const installed = packages.length ? make("ul", "packages", ...packages) : make("span", "none", "nothing reported");
  const row = make(
    "tr",
    "",
    heading("vin", vehicle.vin, vehicle.components.join(", ")),
    cell(make("span", `dot ${vehicle.connected ? "on" : "off"}`, vehicle.connected ? "online" : "offline")),
    cell(installed),
    updateCell(vehicle.updates[0]),
  );
  row.dataset.vin = vehicle.vin;
  return row;
}

async function refreshRequests(body) {
  const ended = ["completed", "failed", "stopped", "cancelled"];
  const listed = await Promise.all([
    ask("/api/v1/install-requests?limit=10"),
    ...ended.map((status) => ask(`/api/v1/install-requests?status=${status}&limit=10`)),
  ]);
  const requests = new Map(listed.flat().map((request) => [request.install_request_id, request]));
  if (requests.size === 0) return;
  const newestFirst = [...requests.values()].sort((a, b) => b.created_at.localeCompare(a.created_at));
  body.replaceChildren(...newestFirst.map(requestRow));
}

async function refreshVehicles(body, query) {
  const vehicles = await ask(`/api/v1/vehicles?${query}`);
  if (vehicles.length === 0) return;
  const details = await Promise.all(vehicles.map((vehicle) => ask(`/api/v1/vehicles/${vehicle.vin}`)));
  body.replaceChildren(...details.map(vehicleRow));
}

function vehiclesQuery() {
  const shown = new URLSearchParams(location.search);
  const query = new URLSearchParams({ limit: "25" });
  for (const name of ["regex", "cursor"]) if (shown.get(name)) query.set(name, shown.get(name));
  return query;
}

async function keepUpToDate() {
  const live = document.getElementById("live");
  const requests = document.getElementById("requests");
  const vehicles = document.getElementById("vehicles");
  const query = vehiclesQuery();
  // A search that failed fails again: the page says why, and the server did answer.
  const searches = document.getElementById("content").dataset.notFound === undefined;
  let pause = PAUSE_MS;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (document.hidden) continue;
    try {
      await Promise.all([refreshRequests(requests), searches ? refreshVehicles(vehicles, query) : null]);
      pause = PAUSE_MS;
      live.hidden = true;
    } catch {
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      live.textContent = "No answer from the server: trying again.";
      live.hidden = false;
    }
  }
}

keepUpToDate();
