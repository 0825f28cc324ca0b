-- elevate | to: primary | flavours: mysql, mariadb | effects: unknown | hazards: unreadable | why: nested beyond what is read
SELECT ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
