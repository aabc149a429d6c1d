// The page of the server of `keras-curvature view`.

import { render } from "./index.js";

render();
