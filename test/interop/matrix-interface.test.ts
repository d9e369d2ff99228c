/** The matrix of schemes and makes (test/matrix), its interface rows. */

import { testRows } from '../matrix/tests.js';

testRows('interface');
