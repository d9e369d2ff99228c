import { securityRow, tableTest } from './cloud-security.js';

securityRow('vxvde');
tableTest();
