# Copies programs that are built already; runs nothing. BASE must have the C library that they were
# linked with, certificate authorities and a user 65532: the distroless image `cc` (nonroot) does.
# Pin it by digest. The context is a folder that holds the three programs (charts/vestibule/README.md).
ARG BASE
FROM ${BASE}
COPY vestibule-authsvc vestibule-operator vestibule /usr/local/bin/
USER 65532:65532
EXPOSE 8080 8081 8082 8083
ENTRYPOINT ["/usr/local/bin/vestibule-authsvc"]
