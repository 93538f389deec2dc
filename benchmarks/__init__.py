"""elman's layers beside torch.nn's, JAX, ONNX Runtime and OpenVINO on the CPU: agreement first, then time."""
