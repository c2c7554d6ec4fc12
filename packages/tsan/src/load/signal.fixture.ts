// A program that waits for SIGTERM and ends with a code of its own.

process.on('SIGTERM', () => process.exit(9));
console.log('up');
setInterval(() => {}, 1000);
