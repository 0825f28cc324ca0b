-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: servers disagree
SELECT 1 /*!M50000 + 1 */
