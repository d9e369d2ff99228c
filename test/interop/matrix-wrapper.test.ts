/** The matrix of schemes and makes (test/matrix), its wrapper rows. */

import { testRows } from '../matrix/tests.js';

testRows('wrapper');
