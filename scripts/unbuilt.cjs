// What a command of bin/ says in a checkout that has not been set up, as npm start and npm test do.
const { basename, resolve } = require('node:path');

module.exports = (error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  const setup = resolve(__dirname, 'setup.mjs');
  process.stderr.write(`${basename(process.argv[1])}: not built yet (run: node ${setup})\n`);
  process.exitCode = 1;
};
