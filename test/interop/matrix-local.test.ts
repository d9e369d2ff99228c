/** The matrix of schemes and makes (test/matrix), its local rows. */

import { testRows } from '../matrix/tests.js';

testRows('local');
