-- elevate | to: primary | flavours: mysql | effects: admin, session | hazards: none | why: other processors
SET RESOURCE GROUP g
