-- elevate | to: primary | flavours: mysql | effects: admin | hazards: loads-code | why: loads foreign code
INSTALL COMPONENT 'file://x'
