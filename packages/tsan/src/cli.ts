// The command line: `tsan app.js [args]` is `node --import .../register.js app.js [args]`.

export {};
