/** Starts the helper by `require`, where Node takes ES modules so: vdens waits for it, and `import` takes longer. */
require('./helper.js');
