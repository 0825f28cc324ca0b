-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: old servers drop 1.e silently
SELECT 1.e(SELECT 1)
