// The page with data from a server. TensorBoard calls `render` in a frame of its own.

import { element } from "./dom.js";
import { open } from "./page.js";
import { ServerSource } from "./server_source.js";

function styleSheet(path) {
  const link = element("link", { rel: "stylesheet", href: new URL(path, import.meta.url).href });
  const loaded = new Promise((resolve) => { link.onload = link.onerror = resolve; });
  document.head.append(link);
  return loaded;
}

export async function render() {
  await Promise.all([styleSheet("./uplot/uPlot.min.css"), styleSheet("./style.css")]);
  await open(new ServerSource());
}
