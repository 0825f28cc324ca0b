-- deny | to: primary | flavours: mysql, mariadb | effects: session | hazards: console-owned-setting | why: changes how statements are read
/*!40101 SET NAMES latin1 */
