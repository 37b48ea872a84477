"""What Core tells of the fleet (B5-2): results of installations, answers of vehicles, what logistics provisions."""
