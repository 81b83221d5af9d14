"""`limner doctor`: checks the installation, and names the command or setting that fixes each problem."""
