// What a command of bin/ says in a checkout that has not been set up, as npm start and npm test do.
const { existsSync } = require('node:fs');
const { basename, resolve } = require('node:path');

module.exports = (error) => {
  const root = resolve(__dirname, '..');
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || existsSync(`${root}/dist/.vde-setup`)) throw error;
  process.stderr.write(`${basename(process.argv[1])}: not built yet (run: node ${root}/scripts/setup.mjs)\n`);
  process.exitCode = 1;
};
