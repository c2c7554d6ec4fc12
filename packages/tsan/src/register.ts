// The preload: `node --import @tspdk/tsan/register app.js`.

export {};
