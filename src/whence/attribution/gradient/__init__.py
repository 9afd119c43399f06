"""Methods that differentiate the model along embedded inputs."""
