"""What the demonstration needs: invented pictures with known labels."""
