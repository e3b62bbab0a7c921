module k3c/images

go 1.26

require k8s.io/cri-api v0.37.0
