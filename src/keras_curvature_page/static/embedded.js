// The page with data that stand in it: a file, or a frame of a notebook.

import { EmbeddedSource } from "./embedded_source.js";
import { open } from "./page.js";

open(new EmbeddedSource(JSON.parse(document.getElementById("data").textContent)));
