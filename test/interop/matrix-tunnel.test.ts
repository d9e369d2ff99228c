/** The matrix of schemes and makes (test/matrix), its tunnel rows. */

import { testRows } from '../matrix/tests.js';

testRows('tunnel');
