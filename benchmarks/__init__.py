"""elman.RNN beside torch.nn.RNN, JAX, ONNX Runtime and OpenVINO on the CPU: agreement first, then time."""
